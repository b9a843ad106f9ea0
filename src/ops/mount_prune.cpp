#include <algorithm>
#include <set>
#include <utility>

#include "core/base/error.hpp"
#include "oci/prunable_store.hpp"
#include "ops/mount_depot.hpp"

namespace cobuild::ops {
namespace {

/// Keys whose newest index stays.
constexpr std::size_t kKeysKept = 16;
/// Others may be in the middle of reading an index, or of sending packs for one.
constexpr std::chrono::hours kGrace{1};

/// An index's name without its time and digest.
std::string key_part(const std::string& name) { return name.substr(0, name.rfind(':')); }

}  // namespace

Task<void> prune_mount(asio::thread_pool& pool, const MountDepot& depot, std::string prefix,
                       std::filesystem::path scratch) {
  auto* const objects = dynamic_cast<oci::PrunableStore*>(depot.objects.get());
  if (objects == nullptr) co_return;
  Timestamp const settled = now() - kGrace;
  std::set<std::string> keys;
  std::vector<std::string> kept;
  std::vector<std::string> garbage;
  for (oci::WrittenObject& index : co_await objects->list(index_prefix(prefix, ""))) {
    bool const is_newest = keys.insert(key_part(index.name)).second;
    bool const stays = (is_newest && keys.size() <= kKeysKept) || index.written > settled;
    (stays ? kept : garbage).push_back(std::move(index.name));
  }
  std::vector<oci::WrittenObject> packs = co_await objects->list(pack_prefix(prefix));
  std::erase_if(packs, [&](const oci::WrittenObject& pack) { return pack.written > settled; });
  for (std::size_t i = 0; i < kept.size() && !packs.empty(); ++i) {
    auto index = co_await objects->find(kept[i]);
    if (!index) continue;
    FetchedIndex const fetched = co_await fetch_index(pool, *objects, *std::move(index), scratch);
    std::set<std::string> used;
    for (const oci::TreePack& pack : fetched.reader->head().packs) {
      used.insert(pack_name(prefix, pack.digest));
    }
    std::erase_if(packs, [&](const oci::WrittenObject& pack) { return used.contains(pack.name); });
  }
  for (oci::WrittenObject& pack : packs) garbage.push_back(std::move(pack.name));
  if (!garbage.empty()) co_await objects->remove(std::move(garbage));
}

}  // namespace cobuild::ops
