#include "cli/mount_transfer.hpp"

#include <utility>
#include <vector>

#include "cli/internal_step.hpp"
#include "cli/mount_options.hpp"
#include "cli/object_stores.hpp"
#include "core/base/timings.hpp"

namespace cobuild::cli {
namespace {

void check(const std::vector<CacheOptions>& places, const std::string& flag) {
  for (const CacheOptions& place : places) {
    check_object_store(place, flag);
    (void)parse_mount_options(place);
  }
}

std::vector<ops::MountDepot> open_depots(const std::vector<CacheOptions>& places, Workspace& workspace) {
  std::vector<ops::MountDepot> depots;
  for (const CacheOptions& place : places) {
    MountOptions options = parse_mount_options(place);
    depots.push_back({.objects = open_object_store(place, workspace),
                      .name = object_store_name(place),
                      .key = std::move(options.key),
                      .restore_keys = std::move(options.restore_keys),
                      .bytes_max = options.bytes_max,
                      .timeout = options.timeout});
  }
  return depots;
}

}  // namespace

void check_cache_mounts(const BuildOptions& options) {
  check(options.mounts_from, "cache-mounts-from");
  check(options.mounts_to, "cache-mounts-to");
}

void make_mount_courier(const BuildOptions& options, Workspace& workspace) {
  if (options.mounts_from.empty() && options.mounts_to.empty()) return;
  workspace.mount_courier.emplace(workspace.runtime.pool(), *workspace.store,
                                  open_depots(options.mounts_from, workspace),
                                  open_depots(options.mounts_to, workspace));
  workspace.services.mount_courier = &*workspace.mount_courier;
}

Task<void> save_cache_mounts(Workspace& workspace, progress::Sink& progress) {
  if (!workspace.mount_courier) co_return;
  ops::MountCourier& courier = *workspace.mount_courier;
  Timings::Span const span(Phase::kExport);
  for (const ops::MountDepot& depot : courier.destinations()) {
    auto work = [&](InternalStep& step) { return courier.save(depot, step); };
    co_await in_step<void>(progress, "saving cache mounts to " + depot.name, work);
  }
}

}  // namespace cobuild::cli
