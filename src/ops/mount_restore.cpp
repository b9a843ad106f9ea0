#include <algorithm>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "oci/file_blob.hpp"
#include "oci/tree_unpack.hpp"
#include "ops/mount_depot.hpp"
#include "ops/stoppable.hpp"

namespace cobuild::ops {
namespace {

constexpr std::size_t kDownloadsMax = 4;

/// The newest that was saved with the depot's key, or else one that begins with it, or with one of
/// those to fall back to.
Task<std::optional<oci::ObjectInfo>> find_index(const MountDepot& depot, std::string prefix) {
  std::vector<std::string> wanted{exact_index_prefix(prefix, depot.key), index_prefix(prefix, depot.key)};
  for (const std::string& key : depot.restore_keys) wanted.push_back(index_prefix(prefix, key));
  for (std::string& beginning : wanted) {
    auto found = co_await depot.objects->find_newest(std::move(beginning));
    if (found) co_return found;
  }
  co_return std::nullopt;
}

/// One restore, as its parts see it.
struct Restoring {
  asio::thread_pool& pool;
  oci::ObjectStore& objects;
  std::string prefix;
  std::filesystem::path scratch;
  const oci::ChunkFile& chunks;
  std::function<void(std::uint64_t bytes)> on_bytes;
};

Task<void> fetch_pack(const Restoring& work, const oci::TreePack* pack) {
  UniqueFd const file = nameless_file(work.scratch);
  oci::FileSink sink(work.pool, file.get(), pack->bytes, work.on_bytes);
  co_await work.objects.read(pack_name(work.prefix, pack->digest), 0, pack->bytes, sink);
  auto take = [&work, pack, fd = file.get()] {
    work.chunks.add_pack(*pack, fd);
    return true;
  };
  co_await offload(work.pool, take);
}

[[noreturn]] void throw_stopped() { throw Error(ErrorKind::kCancelled, "stopped"); }

}  // namespace

Task<std::optional<store::NewLayer>> restore_mount(asio::thread_pool& pool, store::Store& store,
                                                   const MountDepot& depot, std::string id,
                                                   solve::StepSink& step) {
  std::string const prefix = mount_prefix(id);
  std::optional<oci::ObjectInfo> index = co_await find_index(depot, prefix);
  if (!index) co_return std::nullopt;
  store::NewLayer files = store.new_layer();
  FetchedIndex const fetched =
      co_await fetch_index(pool, *depot.objects, *std::move(index), files.scratch());
  const oci::TreeHead& head = fetched.reader->head();
  oci::ChunkFile const chunks(head, nameless_file(files.scratch()), depot.bytes_max);

  std::vector<const oci::TreePack*> packs;
  std::int64_t total = 0;
  for (const oci::TreePack& pack : head.packs) {
    if (pack.live_bytes() == 0) continue;
    packs.push_back(&pack);
    total += static_cast<std::int64_t>(pack.bytes);
  }
  std::int64_t done = 0;
  std::string const status = "restoring cache mount " + id + " from " + depot.name;
  step.status(status, 0, total, false);
  Restoring const work{pool, *depot.objects, prefix, files.scratch(), chunks, [&](std::uint64_t bytes) {
                         done += static_cast<std::int64_t>(bytes);
                         step.status(status, done, total, false);
                       }};
  auto fetch = [&work](const oci::TreePack* pack) { return fetch_pack(work, pack); };
  co_await for_each_bounded(std::move(packs), kDownloadsMax, fetch);

  auto unpack = [&](const std::atomic<bool>& stop) {
    oci::TreeUnpackOptions options{.bytes_max = depot.bytes_max, .after_piece = [&stop] {
                                     if (stop) throw_stopped();
                                   }};
    return oci::unpack_tree(*fetched.reader, chunks, files.fs(), options);
  };
  for (const std::string& warning : co_await offload_stoppable(pool, unpack)) step.warn(warning);
  step.status(status, total, total, true);
  co_return files;
}

}  // namespace cobuild::ops
