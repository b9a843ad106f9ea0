#include "cli/cache_transfer.hpp"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "cli/cache_plan.hpp"
#include "cli/head_start.hpp"
#include "cli/image_push.hpp"
#include "cli/internal_step.hpp"
#include "cli/push_options.hpp"
#include "core/async/cleanup.hpp"
#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/sys/write_rights.hpp"
#include "dockerfile/duration.hpp"
#include "oci/export_image.hpp"
#include "oci/export_index.hpp"
#include "oci/layout_source.hpp"
#include "oci/object_source.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/reference.hpp"
#include "ops/image_resolver.hpp"
#include "ops/object_cache.hpp"
#include "ops/remote_cache.hpp"

namespace cobuild::cli {
namespace {

/// The name under which the blobs of a cache are known while it can be had. A reference, too.
std::string source_name(const std::string& type, const std::string& place) {
  return type + "-cache-" + Digest::of(place).hex().substr(0, 16);
}

std::unique_ptr<oci::ObjectStore> open_objects(const ObjectPlace& place, Workspace& workspace) {
  return open_object_store(place, workspace.runtime.loop().get_executor(), workspace.runtime.pool(),
                           workspace.registry_options());
}

/// The layers of the caches in a place: one source for all of them, which may share packs.
std::shared_ptr<oci::ObjectSource> object_source(const CachePlan& plan, Workspace& workspace) {
  auto& known = workspace.sources.layouts[source_name(plan.type, plan.objects->identity)];
  auto source = std::dynamic_pointer_cast<oci::ObjectSource>(known);
  if (!source) {
    source = std::make_shared<oci::ObjectSource>(open_objects(*plan.objects, workspace),
                                                 plan.objects->blobs_prefix);
    known = source;
  }
  return source;
}

Task<solve::ImportedCache> import_from_objects(const CachePlan& plan, Workspace& workspace,
                                               solve::StepSink& step) {
  auto const objects = open_objects(*plan.objects, workspace);
  auto const source = object_source(plan, workspace);
  std::string const name = source_name(plan.type, plan.objects->identity);
  auto cache = co_await ops::import_objects(*objects, plan.objects->read,
                                            std::string(ops::kLayoutOrigin) + name,
                                            source->packed(), step);
  cache.name = plan.objects->name;
  co_return cache;
}

Task<std::optional<solve::ImportedCache>> import_one(const CachePlan& plan, Workspace& workspace,
                                                     solve::StepSink& step) {
  if (plan.type == "registry") {
    oci::Reference const reference = oci::Reference::parse(plan.ref);
    ops::CachePlace place{plan.ref, reference, reference.name()};
    co_return co_await ops::import_cache(workspace.registry, std::move(place), step);
  }
  if (plan.objects) co_return co_await import_from_objects(plan, workspace, step);
  std::string const name = source_name(plan.type, plan.directory);
  auto source = std::make_shared<oci::LayoutSource>(plan.directory, workspace.runtime.pool());
  workspace.sources.layouts.insert_or_assign(name, source);
  oci::Reference reference = oci::Reference::parse(name);
  reference.tag = plan.tag;
  if (plan.digest) {
    reference.tag.reset();
    reference.digest = plan.digest;
  }
  ops::CachePlace place{plan.directory, std::move(reference),
                        std::string(ops::kLayoutOrigin) + name};
  co_return co_await ops::import_cache(*source, std::move(place), step);
}

/// What an import is called before it is known to be one.
std::string import_name(const CacheOptions& cache) {
  try {
    return place_name(parse_cache_plan(cache, CacheUse::kImport));
  } catch (const Error&) {
    return cache.type;
  }
}

Task<void> import_into(const CacheOptions& cache, std::optional<solve::ImportedCache>& out,
                       Workspace& workspace, progress::Sink& progress) {
  auto work = [&](InternalStep& step) -> Task<void> {
    CachePlan const plan = parse_cache_plan(cache, CacheUse::kImport);
    out = co_await import_one(plan, workspace, step);
    if (!out) throw Error(ErrorKind::kNotFound, place_name(plan) + ": not found");
  };
  try {
    co_await in_step<void>(progress, "importing cache manifest from " + import_name(cache), work);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
  }
}

void show_written(const oci::ExportImage& image, bool image_manifest, solve::StepSink& step) {
  for (const oci::Descriptor& layer : image.layers) {
    step.status("writing layer " + layer.digest.to_string(), 0, 0, true);
  }
  step.status("writing config " + image.documents.front().digest.to_string(), 0, 0, true);
  step.status((image_manifest ? "writing cache image manifest " : "writing cache manifest ") +
                  image.root.digest.to_string(),
              0, 0, true);
}

Task<void> write_local(const CachePlan& plan, oci::ExportImage image, Workspace& workspace) {
  image.descriptor_annotations["org.opencontainers.image.ref.name"] = plan.tag;
  store::Store& store = *workspace.store;
  auto write = [&] {
    LimitedWriting const limited(workspace.output_rights);
    oci::write_image_layout(
        image, [&store](const BlobDigest& digest) { return open_file(store.blob_path(digest), O_RDONLY); },
        plan.directory);
    if (plan.reset) oci::drop_unreferenced_blobs(plan.directory);
    return true;
  };
  co_await offload(workspace.runtime.pool(), write);
}

/// The configs last: they name what is there by then.
Task<void> send_objects(const CachePlan& plan, const ops::CollectedCache& cache,
                        Workspace& workspace, solve::StepSink& step) {
  const ObjectPlace& place = *plan.objects;
  auto const objects = open_objects(place, workspace);
  std::vector<store::LayerChain> chains{cache.chain};
  auto const blobs = open_layer_blobs(workspace, step, std::move(chains));
  oci::PackedLayers packed;
  if (plan.pack) {
    packed = object_source(plan, workspace)->packed();
    co_await ops::read_packed(*objects, place.read, packed);
    packed = co_await ops::export_packed(*objects, place.blobs_prefix, place.parallel, cache,
                                         std::move(packed), *blobs, step);
  } else {
    co_await ops::export_blobs(*objects, place.blobs_prefix, place.parallel, cache, *blobs, step);
  }
  std::string const config = ops::annotated_config(cache, packed);
  for (const std::string& name : place.written) {
    std::string const status = "writing cache config " + name;
    step.status(status, 0, 0, false);
    co_await write_config(*objects, name, config);
    step.status(status, 0, 0, true);
  }
}

/// What has no room in the place's budget is left for another time: slow caches fail no build.
Task<void> export_objects(const CachePlan& plan, const ops::CollectedCache& cache,
                          Workspace& workspace, solve::StepSink& step) {
  auto const begin = std::chrono::steady_clock::now();
  auto const budget = plan.objects->budget;
  if (!budget) {
    co_await send_objects(plan, cache, workspace, step);
    co_return;
  }
  try {
    co_await with_timeout(send_objects(plan, cache, workspace, step), *budget);
  } catch (const Error& error) {
    bool const in_time = std::chrono::steady_clock::now() - begin < *budget;
    if (in_time || error.kind() != ErrorKind::kUnavailable) throw;
    step.warn("the cache was not exported within its timeout of " +
              dockerfile::format_duration(*budget) +
              ": what was sent is there for the next export; timeout=DURATION gives it more time");
  }
}

/// `push`: where to, for a registry; what is packed has its `head_start` there.
Task<void> export_planned(const CachePlan& plan, const PushOptions& push, HeadStart& head_start,
                          const SolvedKeys& keys, Workspace& workspace,
                          std::map<std::string, std::string>& response, solve::StepSink& step) {
  step.status("preparing build cache for export", 0, 0, false);
  ops::SealRequest request = plan.seal;
  request.leave_remote = plan.type != "local";
  ops::CollectedCache const cache = co_await ops::collect_cache(
      keys.records, {keys.results, plan.all}, std::move(request), *workspace.store, workspace.sealer,
      step, &head_start);
  step.status("preparing build cache for export", 0, 0, true);
  if (cache.config.layers.empty()) {
    step.status("skipping cache export for empty result", 0, 0, true);
    co_return;
  }
  if (plan.objects) {
    co_await export_objects(plan, cache, workspace, step);
    co_return;
  }
  oci::ExportImage const image =
      ops::make_cache_image(cache, plan.image_manifest, plan.seal.oci_media_types);
  if (plan.type == "registry") {
    std::vector<store::LayerChain> chains{cache.chain};
    co_await push_names(push.names, push, image, std::move(chains), workspace, step, &head_start);
  } else {
    co_await write_local(plan, image, workspace);
  }
  show_written(image, plan.image_manifest, step);
  response["cache.manifest"] = oci::to_json(
      oci::describe(image.root.media_type, image.root.digest, image.root.text.size()));
}

Task<void> export_one(const CacheOptions& wanted, const SolvedKeys& keys, Workspace& workspace,
                      std::map<std::string, std::string>& response, solve::StepSink& step) {
  CachePlan const plan = parse_cache_plan(wanted, CacheUse::kExport);
  PushOptions push;
  push.insecure = plan.insecure;
  if (plan.type == "registry") push.names.push_back(plan.ref);
  HeadStart head_start(push, workspace, step);
  co_await with_cleanup(
      export_planned(plan, push, head_start, keys, workspace, response, step), head_start.stop());
}

/// What will be told in the cache's own step, and fail nothing, is no reason to build nothing.
void check_cache(const CacheOptions& cache, CacheUse use) {
  try {
    (void)parse_cache_plan(cache, use);
  } catch (const Error& error) {
    bool const is_denied = error.kind() == ErrorKind::kDenied && use == CacheUse::kImport;
    if (!is_denied && !ignores_errors(cache)) throw;
  }
}

}  // namespace

void check_caches(const BuildOptions& options) {
  std::vector<CacheOptions> seen;
  for (const CacheOptions& cache : options.cache_exports) {
    check_cache(cache, CacheUse::kExport);
    if (std::ranges::find(seen, cache) != seen.end()) {
      throw Error(ErrorKind::kInvalidInput, "duplicate cache exports [" + cache.type + "]");
    }
    seen.push_back(cache);
  }
  for (const CacheOptions& cache : options.cache_imports) {
    check_cache(cache, CacheUse::kImport);
  }
}

bool wants_inline_cache(const BuildOptions& options) {
  return std::ranges::any_of(options.cache_exports,
                             [](const CacheOptions& cache) { return cache.type == "inline"; });
}

bool exports_cache(const BuildOptions& options) {
  return !options.cache_exports.empty();
}

Task<std::vector<solve::ImportedCache>> import_caches(const BuildOptions& options,
                                                      Workspace& workspace,
                                                      progress::Sink& progress) {
  std::vector<std::optional<solve::ImportedCache>> caches(options.cache_imports.size());
  std::vector<std::size_t> indexes;
  for (std::size_t i = 0; i < caches.size(); ++i) indexes.push_back(i);
  auto work = [&](std::size_t i) {
    return import_into(options.cache_imports[i], caches[i], workspace, progress);
  };
  std::size_t const count = std::max<std::size_t>(1, indexes.size());
  co_await for_each_bounded(std::move(indexes), count, work);
  std::vector<solve::ImportedCache> imported;
  for (auto& cache : caches) {
    if (cache) imported.push_back(*std::move(cache));
  }
  co_return imported;
}

Task<void> export_caches(const BuildOptions& options, const SolvedKeys& keys, Workspace& workspace,
                         progress::Sink& progress, std::map<std::string, std::string>& response) {
  for (const CacheOptions& cache : options.cache_exports) {
    if (cache.type == "inline") continue;
    auto work = [&](InternalStep& step) {
      return export_one(cache, keys, workspace, response, step);
    };
    try {
      co_await in_step<void>(progress, export_name(cache.type), work);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kCancelled) throw;
      if (!ignores_errors(cache)) throw error.with_context("failed to export cache");
    }
  }
}

}  // namespace cobuild::cli
