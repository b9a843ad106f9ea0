#include "ops/diff_op.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/solve/kept_name.hpp"
#include "ops/copy_tree.hpp"
#include "ops/local_source.hpp"
#include "ops/op_description.hpp"
#include "ops/op_digest.hpp"
#include "ops/stoppable.hpp"

namespace cobuild::ops {

namespace {

using Entry = FileTree::Entry;

constexpr std::string_view kOpaque = "user.overlay.opaque";

[[nodiscard]] bool same_bytes(const FileTree& a_tree, const Entry& a, const FileTree& b_tree,
                              const Entry& b) {
  UniqueFd const a_fd = a_tree.open_file(a);
  UniqueFd const b_fd = b_tree.open_file(b);
  std::vector<char> a_bytes(64 << 10);
  std::vector<char> b_bytes(64 << 10);
  for (off_t offset = 0; offset < a.size;) {
    ssize_t const n = ::pread(a_fd.get(), a_bytes.data(), a_bytes.size(), offset);
    if (n <= 0) return n == 0;
    auto const size = static_cast<std::size_t>(n);
    for (std::size_t got = 0; got < size;) {
      ssize_t const m =
          ::pread(b_fd.get(), b_bytes.data() + got, size - got, offset + static_cast<off_t>(got));
      if (m <= 0) return false;
      got += static_cast<std::size_t>(m);
    }
    if (!std::equal(a_bytes.begin(), a_bytes.begin() + n, b_bytes.begin())) return false;
    offset += n;
  }
  return true;
}

[[nodiscard]] std::string capability_of(const FileTree& tree, const Entry& entry) {
  for (auto& [name, value] : tree.xattrs_of(entry)) {
    if (name == "security.capability") return value;
  }
  return {};
}

/// Compares two trees and writes the second's side of it.
class Difference {
 public:
  Difference(FileTree& lower, FileTree& upper, const TargetRoot& target, const CopyOptions& options)
      : lower_(lower), upper_(upper), target_(target), copier_(upper, target, options) {}

  void run() {
    Directory root{.parent = nullptr, .entry = &upper_.root(), .path = "/", .exists = true};
    compare_entries(lower_.root(), root);
    copier_.copy_metadata(upper_.root(), "/");
  }

 private:
  /// A directory of the layer, made when something in it differs.
  struct Directory {
    Directory* parent;
    Entry* entry;  ///< Of the upper tree.
    std::string path;
    bool exists;
  };

  void compare_entries(Entry& lower, Directory& directory) {
    const std::vector<Entry*>& below = lower_.list(lower);
    const std::vector<Entry*>& above = upper_.list(*directory.entry);
    auto l = below.begin();
    auto u = above.begin();
    while (l != below.end() || u != above.end()) {
      if (u == above.end() || (l != below.end() && (*l)->name < (*u)->name)) {
        remove(**l++, directory);
      } else if (l == below.end() || (*u)->name < (*l)->name) {
        add(**u++, directory, false);
      } else {
        compare(**l++, **u++, directory);
      }
    }
  }

  void compare(Entry& lower, Entry& upper, Directory& parent) {
    if (!lower.is_directory() || !upper.is_directory()) {
      if (!same(lower, upper)) add(upper, parent, upper.is_directory());
      return;
    }
    Directory directory{
        .parent = &parent, .entry = &upper, .path = child_path(parent, upper), .exists = false};
    if (!same(lower, upper)) ensure(directory);
    compare_entries(lower, directory);
    if (directory.exists) copier_.copy_metadata(upper, directory.path);
  }

  [[nodiscard]] static std::string child_path(const Directory& directory, const Entry& entry) {
    return directory.path == "/" ? "/" + entry.name : directory.path + "/" + entry.name;
  }

  void ensure(Directory& directory) {
    if (directory.exists) return;
    ensure(*directory.parent);
    TargetRoot::Place const place = target_.place(directory.path, "mkdir");
    if (::mkdirat(place.directory.get(), place.name.c_str(), 0755) != 0) {
      throw path_error("mkdir", directory.path, errno);
    }
    directory.exists = true;
  }

  void add(Entry& entry, Directory& parent, bool replaces_file) {
    ensure(parent);
    std::string const path = child_path(parent, entry);
    copier_.copy(entry, path);
    if (!replaces_file) return;
    // Nothing of what lies below the file that was here may show through.
    TargetRoot::Place const place = target_.place(path, "setxattr");
    if (int const error =
            set_xattr_at(place.directory.get(), place.name, std::string(kOpaque), "y")) {
      throw path_error("setxattr", path, error);
    }
  }

  void remove(const Entry& entry, Directory& parent) {
    ensure(parent);
    std::string const path = child_path(parent, entry);
    TargetRoot::Place const place = target_.place(path, "mknod");
    if (::mknodat(place.directory.get(), place.name.c_str(), S_IFCHR, ::makedev(0, 0)) != 0) {
      throw path_error("mknod", path, errno);
    }
  }

  [[nodiscard]] bool same(const Entry& lower, const Entry& upper) const {
    if (lower.device == upper.device && lower.inode == upper.inode) return true;
    bool const same_status = lower.mode == upper.mode && lower.uid == upper.uid &&
                             lower.gid == upper.gid && lower.special == upper.special;
    if (!same_status || capability_of(lower_, lower) != capability_of(upper_, upper)) return false;
    if (lower.is_directory()) return true;
    if (lower.size != upper.size || lower.modified.tv_sec != upper.modified.tv_sec ||
        lower.modified.tv_nsec != upper.modified.tv_nsec) {
      return false;
    }
    // Times without a fraction may have been truncated, by a tar for one: look closer.
    if (lower.modified.tv_nsec != 0) return true;
    if (lower.is_link()) return lower.link_target == upper.link_target;
    return !lower.is_regular() || lower.size == 0 || same_bytes(lower_, lower, upper_, upper);
  }

  FileTree& lower_;
  FileTree& upper_;
  const TargetRoot& target_;
  EntryCopier copier_;
};

void write_difference_of(const std::filesystem::path& lower, const std::filesystem::path& upper,
                         const std::filesystem::path& layer, const std::atomic<bool>* stop) {
  std::unique_ptr<FileTree> const lower_tree = FileTree::open(lower);
  std::unique_ptr<FileTree> const upper_tree = FileTree::open(upper);
  TargetRoot const target(open_file(layer, O_RDONLY | O_DIRECTORY));
  CopyOptions options;
  options.stop = stop;
  Difference(*lower_tree, *upper_tree, target, options).run();
}

class DiffOp final : public solve::Op {
 public:
  DiffOp(const Services& services, std::shared_ptr<const llb::Vertex> vertex)
      : services_(services), vertex_(std::move(vertex)) {}

  Task<std::vector<solve::CacheMap>> cache_maps(solve::StepSink&) override {
    std::vector<solve::CacheMap> maps{op_key(*vertex_).map};
    co_return maps;
  }

  Task<Digest> content_digest(std::size_t, solve::Result, solve::StepSink&) override {
    throw Error(ErrorKind::kInternal, "a diff reads no contents of its inputs as keys");
    co_return Digest(Digest::Bytes{});
  }

  Task<std::vector<solve::Result>> run(std::vector<solve::Result> inputs,
                                       solve::StepSink& step) override {
    store::LayerChain const lower = co_await side(vertex_->op.diff().lower().input(), inputs, step);
    store::LayerChain const upper = co_await side(vertex_->op.diff().upper().input(), inputs, step);
    std::vector<solve::Result> results(1);
    bool const extends =
        lower.size() <= upper.size() && std::equal(lower.begin(), lower.end(), upper.begin());
    if (extends) {
      results[0].layers.assign(upper.begin() + static_cast<std::ptrdiff_t>(lower.size()),
                               upper.end());
    } else {
      results[0].layers.push_back(co_await compute(lower, upper, step));
    }
    co_return results;
  }

  [[nodiscard]] solve::OpDescription describe() const override { return ops::describe(*vertex_); }

  [[nodiscard]] bool takes_slot() const override { return false; }

 private:
  /// -1 is scratch.
  Task<store::LayerChain> side(std::int64_t input, const std::vector<solve::Result>& inputs,
                               solve::StepSink& step) {
    if (input == -1) co_return store::LayerChain{};
    if (input < 0 || input >= static_cast<std::int64_t>(inputs.size())) {
      throw Error(ErrorKind::kInvalidInput, "invalid input index " + std::to_string(input) +
                                                " for diff op with " +
                                                std::to_string(inputs.size()) + " inputs");
    }
    co_return co_await materialise(services_, inputs[static_cast<std::size_t>(input)], step);
  }

  Task<std::vector<std::filesystem::path>> directories(const store::LayerChain& chain,
                                                       solve::StepSink& step) {
    if (chain.empty()) co_return std::vector<std::filesystem::path>{};
    co_return co_await services_.files.directories(chain, step);
  }

  Task<store::LayerId> compute(const store::LayerChain& lower, const store::LayerChain& upper,
                               solve::StepSink& step) {
    auto const lower_directories = co_await directories(lower, step);
    auto const upper_directories = co_await directories(upper, step);
    store::NewLayer layer = services_.store.new_layer();
    store::Snapshotter& snapshotter = services_.snapshotter;
    auto work = [&](const std::atomic<bool>& stop) {
      std::unique_ptr<store::View> const lower_view = snapshotter.view(lower_directories);
      std::unique_ptr<store::View> const upper_view = snapshotter.view(upper_directories);
      write_difference_of(lower_view->path(), upper_view->path(), layer.fs(), &stop);
      return true;
    };
    co_await offload_stoppable(services_.pool, work);
    store::LayerAttributes attributes;
    attributes.description = solve::kept_name(vertex_->name);
    co_return co_await services_.store.commit_layer(std::move(layer), std::move(attributes));
  }

  Services services_;
  std::shared_ptr<const llb::Vertex> vertex_;
};

}  // namespace

void write_difference(const std::filesystem::path& lower, const std::filesystem::path& upper,
                      const std::filesystem::path& layer) {
  write_difference_of(lower, upper, layer, nullptr);
}

std::unique_ptr<solve::Op> make_diff_op(const Services& services,
                                        std::shared_ptr<const llb::Vertex> vertex) {
  return std::make_unique<DiffOp>(services, std::move(vertex));
}

}  // namespace cobuild::ops
