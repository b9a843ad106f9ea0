#include <fcntl.h>

#include <algorithm>
#include <set>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/base/units.hpp"
#include "oci/file_blob.hpp"
#include "oci/tree_pack.hpp"
#include "oci/tree_scan.hpp"
#include "ops/mount_depot.hpp"
#include "ops/stoppable.hpp"

namespace cobuild::ops {
namespace {

constexpr std::size_t kUploadsMax = 4;
constexpr std::size_t kQuestionsMax = 8;

/// What the depot has of the mount: the index that was saved last, with this key if there is one.
struct Base {
  std::optional<oci::TreeHead> head;
  bool has_key = false;  ///< It was saved with the depot's key.
  std::set<Digest> missing;  ///< Its packs that are no longer there.
};

/// One save, as its parts see it.
struct Saving {
  asio::thread_pool& pool;
  const MountDepot& depot;
  std::string prefix;
  std::filesystem::path directory;
  std::filesystem::path scratch;
  oci::ScannedTree tree;
  oci::TreeHead head;
  std::function<void(std::uint64_t bytes)> on_sent;
};

Task<void> look_for_pack(const MountDepot& depot, std::string prefix, Digest digest, Base& base) {
  std::optional<oci::ObjectInfo> pack = co_await depot.objects->find(pack_name(prefix, digest));
  if (!pack) base.missing.insert(digest);
  if (pack && pack->is_old) co_await depot.objects->touch(*std::move(pack));
}

/// An index that cannot be read is as good as none.
Task<Base> find_base(asio::thread_pool& pool, const MountDepot& depot, std::string prefix,
                     std::filesystem::path scratch) {
  Base base;
  auto index = co_await depot.objects->find_newest(exact_index_prefix(prefix, depot.key));
  base.has_key = index.has_value();
  if (!index) index = co_await depot.objects->find_newest(index_prefix(prefix, ""));
  if (!index) co_return base;
  try {
    FetchedIndex const fetched =
        co_await fetch_index(pool, *depot.objects, *std::move(index), std::move(scratch));
    base.head = fetched.reader->head();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kCorrupt && error.kind() != ErrorKind::kNotFound) throw;
    co_return Base();
  }
  std::vector<Digest> packs;
  for (const oci::TreePack& pack : base.head->packs) packs.push_back(pack.digest);
  auto look = [&](Digest digest) { return look_for_pack(depot, prefix, digest, base); };
  co_await for_each_bounded(std::move(packs), kQuestionsMax, look);
  co_return base;
}

std::function<void()> throw_if(const std::atomic<bool>& stop) {
  return [&stop] {
    if (stop) throw Error(ErrorKind::kCancelled, "stopped");
  };
}

Task<void> send_pack(Saving& saving, std::vector<std::uint32_t> chunks, std::size_t number) {
  std::filesystem::path const path = saving.scratch / ("pack-" + std::to_string(number));
  auto write = [&, pool = &saving.pool](const std::atomic<bool>& stop) {
    UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    oci::TreePack pack = oci::write_pack(saving.directory, saving.tree, chunks,
                                         {.pool = pool, .after_chunk = throw_if(stop)}, file.get());
    file.close();
    return pack;
  };
  oci::TreePack pack = co_await offload_stoppable(saving.pool, write);
  std::string const name = pack_name(saving.prefix, pack.digest);
  // One that a save sent which did not come to its end.
  if (!co_await saving.depot.objects->find(name)) {
    co_await saving.depot.objects->write(name, pack.bytes, oci::blob_of_file(saving.pool, path));
  }
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  saving.on_sent(pack.raw_bytes());
  saving.head.packs.push_back(std::move(pack));
}

Task<void> send_packs(Saving& saving, std::vector<std::vector<std::uint32_t>> packs) {
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < packs.size(); ++i) numbers.push_back(i);
  auto send = [&](std::size_t i) { return send_pack(saving, std::move(packs[i]), i); };
  co_await for_each_bounded(std::move(numbers), kUploadsMax, send);
}

Task<void> send_index(Saving& saving, int tree_fd) {
  std::filesystem::path const path = saving.scratch / "index";
  auto write = [&saving, &path, tree_fd] {
    UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    oci::WrittenIndex const written = oci::write_index(saving.head, tree_fd, file.get());
    file.close();
    return written;
  };
  oci::WrittenIndex const written = co_await offload(saving.pool, write);
  if (written.bytes > oci::kTreeIndexBytesMax) {
    throw Error(ErrorKind::kUnsupported, "its index is too large: it has too many files");
  }
  std::string name = index_name(saving.prefix, saving.depot.key, now(), written.digest);
  co_await saving.depot.objects->write(std::move(name), written.bytes,
                                       oci::blob_of_file(saving.pool, path));
}

/// What was saved is there, whatever becomes of this.
Task<void> prune(Saving& saving, std::string id, solve::StepSink& step) {
  try {
    co_await prune_mount(saving.pool, saving.depot, saving.prefix, saving.scratch);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    step.warn("what is no longer needed of cache mount " + id + " was not removed from " +
              saving.depot.name + ": " + error.what());
  }
}

std::string to_text(std::uint64_t bytes) { return format_bytes(static_cast<std::int64_t>(bytes)); }

}  // namespace

Task<void> save_mount(asio::thread_pool& pool, store::Store& store, const MountDepot& depot,
                      SavedMount mount, solve::StepSink& step) {
  std::string const prefix = mount_prefix(mount.id);
  std::string const status = "saving cache mount " + mount.id;
  step.status(status, 0, 0, false);
  store::NewLayer const scratch = store.new_layer();
  Base const base = co_await find_base(pool, depot, prefix, scratch.scratch());

  auto const lock = store.try_lock(store::Store::cache_mount_lock(mount.store_id));
  if (!lock) throw Error(ErrorKind::kUnavailable, "another build is using it");
  UniqueFd const tree_file = nameless_file(scratch.scratch());
  auto scan = [&, fd = tree_file.get()](const std::atomic<bool>& stop) {
    return oci::scan_tree(mount.directory,
                          {.bytes_max = depot.bytes_max, .after_file = throw_if(stop)}, fd);
  };
  oci::ScannedTree tree = co_await offload_stoppable(pool, scan);
  bool const is_there = base.has_key && base.head && base.head->tree == tree.digest && base.missing.empty();
  if (is_there) {
    step.status(status, 0, 0, true);
    step.status("cache mount " + mount.id + " has not changed", 0, 0, true);
    co_return;
  }
  oci::PackPlan plan = oci::plan_packs(tree, base.head ? &*base.head : nullptr, base.missing);
  std::uint64_t const fresh = plan.fresh_bytes(tree);
  std::string const summary = "cache mount " + mount.id + ": " + to_text(fresh) + " of " +
                              to_text(tree.bytes) + " are new";
  std::int64_t sent = 0;
  oci::TreeHead head{tree.digest, tree.chunks, std::move(plan.kept)};
  Saving saving{pool, depot, prefix, mount.directory, scratch.scratch(), std::move(tree), std::move(head),
                [&](std::uint64_t bytes) {
                  sent += static_cast<std::int64_t>(bytes);
                  step.status(status, sent, static_cast<std::int64_t>(fresh), false);
                }};
  co_await send_packs(saving, std::move(plan.fresh));
  co_await send_index(saving, tree_file.get());
  step.status(status, sent, static_cast<std::int64_t>(fresh), true);
  step.status(summary, 0, 0, true);
  co_await prune(saving, mount.id, step);
}

}  // namespace cobuild::ops
