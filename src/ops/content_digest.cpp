// Digests of contents, on the loop: what is known is looked up, what is not is hashed on the pool.

#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>

#include "core/async/cleanup.hpp"
#include "core/async/concurrency.hpp"
#include "core/async/runtime.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/store/snapshotter.hpp"
#include "ops/content_hash.hpp"
#include "ops/file_digest_notes.hpp"
#include "ops/go_json.hpp"
#include "ops/local_source.hpp"

namespace cobuild::ops {

namespace {

using Entries = std::vector<FileTree::Entry*>;
using Selectors = std::vector<ContentSelector>;

/// Work for one visit to the pool: enough to be worth it, short enough to be cancelled between.
constexpr std::size_t kBatchFilesMax = 128;
constexpr std::int64_t kBatchBytesMax = 16 << 20;

constexpr std::string_view kDigestTable = "content-digest";

/// The outcome of one attempt: a digest, or the files without which there is none.
struct Attempt {
  std::optional<Digest> digest;
  Entries missing;
};

/// Blocking.
[[nodiscard]] Attempt attempt(FileTree& tree, const Selectors& selectors) {
  ContentHash hash(tree);
  std::vector<Digest> digests;
  for (const ContentSelector& selector : selectors) digests.push_back(hash.digest_of(selector));
  Entries missing = hash.missing();
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  if (!missing.empty()) return {.digest = std::nullopt, .missing = std::move(missing)};
  return {.digest = ContentHash::combine(digests), .missing = {}};
}

[[nodiscard]] std::vector<Entries> in_batches(const Entries& files) {
  std::vector<Entries> batches;
  std::int64_t bytes = 0;
  for (FileTree::Entry* file : files) {
    bool const full = batches.empty() || batches.back().size() >= kBatchFilesMax ||
                      (bytes + file->size > kBatchBytesMax && !batches.back().empty());
    if (full) {
      batches.emplace_back();
      bytes = 0;
    }
    batches.back().push_back(file);
    bytes += file->size;
  }
  return batches;
}

Task<void> hash_batch(asio::thread_pool& pool, const FileTree& tree, const Entries& batch) {
  auto hash = [&tree, &batch] {
    for (FileTree::Entry* file : batch) file->header_digest = hash_entry(tree, *file);
    return batch.size();
  };
  co_await offload(pool, hash);
}

/// Hashes the files side by side and puts the digests into their entries.
Task<void> hash_files(asio::thread_pool& pool, FileTree& tree, Entries files) {
  // Biggest first, so that the last thread does not end long after the others.
  std::sort(files.begin(), files.end(),
            [](const FileTree::Entry* a, const FileTree::Entry* b) { return a->size > b->size; });
  auto hash_one = [&pool, &tree](Entries& batch) { return hash_batch(pool, tree, batch); };
  std::vector<Entries> batches = in_batches(files);
  co_await for_each_bounded(std::move(batches), cpus_allowed(), hash_one);
}

using ByDirectory = std::unordered_map<FileTree::Entry*, Entries>;

[[nodiscard]] ByDirectory by_directory(const Entries& files) {
  ByDirectory groups;
  for (FileTree::Entry* file : files) groups[file->parent].push_back(file);
  return groups;
}

/// Takes what is remembered of `files`, and returns the rest.
[[nodiscard]] Entries recall(store::Store& store, const ByDirectory& groups) {
  Entries unknown;
  for (const auto& [directory, files] : groups) {
    std::vector<FileDigestRecord> const records = DirectoryNotes(store, *directory).load();
    for (FileTree::Entry* file : files) {
      auto const found = std::lower_bound(
          records.begin(), records.end(), static_cast<std::uint64_t>(file->inode),
          [](const FileDigestRecord& record, std::uint64_t inode) { return record.inode < inode; });
      if (found != records.end() && found->matches(*file)) {
        file->header_digest = Digest(found->digest);
      } else {
        unknown.push_back(file);
      }
    }
  }
  return unknown;
}

void append_record(std::vector<FileDigestRecord>& records, const FileTree::Entry& file) {
  FileDigestRecord record;
  record.inode = file.inode;
  record.size = file.size;
  record.modified_ns = nanoseconds(file.modified);
  record.changed_ns = nanoseconds(file.changed);
  record.digest = file.header_digest->bytes();
  records.push_back(record);
}

/// Remembers what was hashed, and keeps what was remembered of other files in the same directories:
/// another build may use them. Files that are gone are forgotten when their inode is used anew.
void remember(store::Store& store, const FileTree& tree, const Entries& hashed) {
  for (const auto& [directory, files] : by_directory(hashed)) {
    std::vector<FileDigestRecord> records;
    for (const FileTree::Entry* file : files) {
      if (is_settled(*file, tree.opened_at())) append_record(records, *file);
    }
    if (records.empty()) continue;
    std::vector<std::uint64_t> inodes;
    for (const FileDigestRecord& record : records) inodes.push_back(record.inode);
    std::sort(inodes.begin(), inodes.end());
    DirectoryNotes const notes(store, *directory);
    for (const FileDigestRecord& old : notes.load()) {
      if (!std::binary_search(inodes.begin(), inodes.end(), old.inode)) records.push_back(old);
    }
    notes.save(std::move(records));
  }
}

/// Computes until nothing is missing. `store`: where digests are remembered; null: nowhere.
Task<Digest> digest_of_tree(asio::thread_pool& pool, store::Store* store, FileTree& tree,
                            const Selectors& selectors) {
  Timings::Span const span(Phase::kHash);
  auto try_it = [&tree, &selectors] { return attempt(tree, selectors); };
  for (;;) {
    Attempt outcome = co_await offload(pool, try_it);
    if (outcome.digest) co_return *outcome.digest;
    Entries unknown = std::move(outcome.missing);
    if (store != nullptr) unknown = recall(*store, by_directory(unknown));
    co_await hash_files(pool, tree, unknown);
    if (store != nullptr) remember(*store, tree, unknown);
  }
}

Task<Digest> digest_of_local(Services services, std::shared_ptr<const LocalTree> local,
                             Selectors selectors) {
  auto const slot = co_await local->exclusive().acquire();
  co_return co_await digest_of_tree(services.pool, &services.store, local->tree(), selectors);
}

/// Names a selection of a ref, for the store.
[[nodiscard]] std::string note_key(const store::LayerChain& chain, const Selectors& selectors) {
  std::string text;
  for (const store::LayerId& id : chain) text += std::to_string(id.value) + ",";
  auto append_list = [&text](const std::vector<std::string>& list) {
    text += '[';
    for (const std::string& item : list) append_go_json_string(text, item);
    text += ']';
  };
  for (const ContentSelector& selector : selectors) {
    text += selector.wildcard ? "|w" : "|";
    text += selector.follow_links ? "f" : "";
    append_go_json_string(text, selector.path);
    append_list(selector.include_patterns);
    append_list(selector.exclude_patterns);
    append_list(selector.required_paths);
  }
  return Digest::of(text).hex();
}

/// A mounted view with the tree on it.
struct ViewedTree {
  std::unique_ptr<store::View> view;
  std::unique_ptr<FileTree> tree;
};

Task<void> close_view(asio::thread_pool& pool, ViewedTree& viewed) {
  auto close = [&viewed] {
    viewed.tree.reset();  // its descriptors would keep the mount busy
    viewed.view->close();
    return true;
  };
  co_await offload(pool, close);
}

/// Notes which files the digest is of, about the last of the layers that they are in.
Task<Digest> digest_and_list(asio::thread_pool& pool, store::Store& store, store::LayerId last,
                             FileTree& tree, const Selectors& selectors) {
  Digest const digest = co_await digest_of_tree(pool, nullptr, tree, selectors);
  auto list = [&tree, &selectors] { return encode(ContentHash(tree).list(selectors)); };
  std::string const text = co_await offload(pool, list);
  store.put_layer_note(last, solve::file_list_note(digest), text);
  co_return digest;
}

Task<Digest> digest_of_view(Services services, store::LayerChain chain, Selectors selectors,
                            solve::StepSink& step) {
  store::LayerId const last = chain.back();
  auto directories = co_await services.files.directories(std::move(chain), step);
  store::Snapshotter& snapshotter = services.snapshotter;
  auto open = [&snapshotter, &directories] {
    ViewedTree viewed{.view = snapshotter.view(std::move(directories)), .tree = nullptr};
    viewed.tree = FileTree::open(viewed.view->path());
    return viewed;
  };
  ViewedTree viewed = co_await offload(services.pool, open);
  co_return co_await with_cleanup(
      digest_and_list(services.pool, services.store, last, *viewed.tree, selectors),
      close_view(services.pool, viewed));
}

Task<Digest> digest_of_layers(Services services, store::LayerChain chain, Selectors selectors,
                              solve::StepSink& step) {
  std::string const key = note_key(chain, selectors);
  if (auto known = services.store.get_note(kDigestTable, key)) {
    if (auto digest = Digest::try_parse(*known)) co_return *digest;
  }
  Digest const digest =
      co_await digest_of_view(services, std::move(chain), std::move(selectors), step);
  services.store.put_note(kDigestTable, key, digest.to_string());
  co_return digest;
}

/// Scratch has nothing but its root.
[[nodiscard]] Digest digest_of_scratch(const Selectors& selectors) {
  std::vector<Digest> digests;
  for (const ContentSelector& selector : selectors) {
    if (!selector.path.empty() && selector.path != "/") {
      throw Error(ErrorKind::kNotFound, selector.path + ": no such file or directory");
    }
    digests.push_back(Digest::of(std::string_view()));
  }
  return ContentHash::combine(digests);
}

Task<Digest> digest_of_input(Services services, Selectors selectors, solve::Result input,
                             solve::StepSink& step) {
  if (selectors.empty()) selectors.emplace_back();
  if (auto local = std::dynamic_pointer_cast<const LocalTree>(input.unstored)) {
    co_return co_await digest_of_local(services, std::move(local), std::move(selectors));
  }
  if (input.layers.empty()) co_return digest_of_scratch(selectors);
  co_return co_await digest_of_layers(services, std::move(input.layers), std::move(selectors),
                                      step);
}

[[nodiscard]] std::string ref_name(const solve::Result& input) {
  if (auto local = std::dynamic_pointer_cast<const LocalTree>(input.unstored)) return local->name();
  if (input.layers.empty()) return "scratch";
  return "layer-" + std::to_string(input.layers.back().value);
}

}  // namespace

Task<Digest> content_digest(Services services, std::vector<ContentSelector> selectors,
                            solve::Result input, solve::StepSink& step) {
  std::string const name = ref_name(input);
  auto describe = [&name] { return "failed to calculate checksum of ref " + name; };
  co_return co_await in_context(
      digest_of_input(services, std::move(selectors), std::move(input), step), describe);
}

Task<std::optional<solve::FileList>> list_content(Services services,
                                                  std::vector<ContentSelector> selectors,
                                                  solve::Result input) {
  auto const local = std::dynamic_pointer_cast<const LocalTree>(input.unstored);
  if (!local) co_return std::nullopt;
  if (selectors.empty()) selectors.emplace_back();
  auto const slot = co_await local->exclusive().acquire();
  auto list = [&tree = local->tree(), &selectors] {
    return std::optional(ContentHash(tree).list(selectors));
  };
  co_return co_await offload(services.pool, list);
}

}  // namespace cobuild::ops
