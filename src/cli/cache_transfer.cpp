#include "cli/cache_transfer.hpp"

#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "cli/export_options.hpp"
#include "cli/image_push.hpp"
#include "cli/internal_step.hpp"
#include "cli/push_options.hpp"
#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "oci/export_image.hpp"
#include "oci/export_index.hpp"
#include "oci/layout_source.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/reference.hpp"
#include "ops/image_resolver.hpp"
#include "ops/remote_cache.hpp"

namespace cobuild::cli {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kInvalidInput, what); }

/// The attributes of one cache, read (F5.4.2, F5.4.3).
struct CachePlan {
  std::string type;
  std::string ref;        ///< registry.
  std::string directory;  ///< local: dest or src.
  std::string tag = "latest";
  std::optional<BlobDigest> digest;
  ops::SealRequest seal;
  bool all = false;  ///< mode=max.
  bool image_manifest = true;
  bool insecure = false;
  bool ignore_error = false;
  bool reset = false;
};

/// The attributes that are as an exporter's.
ops::SealRequest parse_seal(const CacheOptions& cache) {
  OutputOptions output;
  output.type = "oci";
  for (const char* key : {"compression", "compression-level", "force-compression", "oci-mediatypes"}) {
    auto const found = cache.attributes.find(key);
    if (found != cache.attributes.end()) output.attributes.insert(*found);
  }
  return parse_export_options(output).seal;
}

CachePlan parse_plan(const CacheOptions& cache) {
  CachePlan plan;
  plan.type = cache.type;
  plan.seal = parse_seal(cache);
  plan.image_manifest = plan.seal.oci_media_types;
  for (const auto& [key, value] : cache.attributes) {
    if (key == "ref") plan.ref = value;
    if (key == "dest" || key == "src") plan.directory = value;
    if (key == "tag") plan.tag = value;
    if (key == "digest") plan.digest = BlobDigest(Digest::parse(value));
    if (key == "mode") plan.all = value == "max";
    if (key == "image-manifest") plan.image_manifest = parse_bool(key, value);
    if (key == "registry.insecure") plan.insecure = parse_bool(key, value);
    if (key == "ignore-error") plan.ignore_error = parse_bool(key, value);
    if (key == "reset") plan.reset = parse_bool(key, value);
  }
  if (plan.image_manifest && !plan.seal.oci_media_types) {
    refuse("invalid configuration for remote cache, OCI mediatypes are required for image-manifest "
           "cache format");
  }
  if (plan.type == "registry") {
    if (plan.ref.empty()) refuse("ref is required for registry cache: ref=NAME");
    try {
      (void)oci::Reference::parse(plan.ref);
    } catch (const Error& error) {
      throw error.with_context("failed to parse " + plan.ref);
    }
  }
  return plan;
}

constexpr std::string_view kObjectStores[] = {"gha", "s3", "azblob"};

void check_type(const CacheOptions& cache, bool exports) {
  if (std::ranges::find(kObjectStores, cache.type) != std::end(kObjectStores)) {
    throw Error(ErrorKind::kUnsupported,
                "cache of type " + cache.type + " is not supported yet: use registry or local");
  }
  bool const known = cache.type == "registry" || cache.type == "local" ||
                     (exports && cache.type == "inline");
  if (known) return;
  if (!exports && cache.type == "inline") {
    refuse("an inline cache is imported from its image: type=registry,ref=NAME");
  }
  refuse(exports ? "unknown cache exporter: \"" + cache.type + "\": use registry, local or inline"
                 : "unknown cache importer: " + cache.type + ": use registry or local");
}

/// The name under which the files of a local cache are known while it is here. A reference, too.
std::string layout_name(const std::string& directory) {
  return "local-cache-" + Digest::of(directory).hex().substr(0, 16);
}

Task<std::optional<solve::ImportedCache>> import_one(const CachePlan& plan, Workspace& workspace,
                                                     solve::StepSink& step) {
  if (plan.type == "registry") {
    oci::Reference const reference = oci::Reference::parse(plan.ref);
    ops::CachePlace place{plan.ref, reference, reference.name()};
    co_return co_await ops::import_cache(workspace.registry, std::move(place), step);
  }
  std::string const name = layout_name(plan.directory);
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

std::string place_name(const CachePlan& plan) {
  return plan.type == "registry" ? plan.ref : "local:" + plan.directory;
}

Task<void> import_into(const CachePlan& plan, std::optional<solve::ImportedCache>& out,
                       Workspace& workspace, progress::Sink& progress) {
  auto work = [&](InternalStep& step) -> Task<void> {
    out = co_await import_one(plan, workspace, step);
    if (!out) throw Error(ErrorKind::kNotFound, place_name(plan) + ": not found");
  };
  try {
    co_await in_step<void>(progress, "importing cache manifest from " + place_name(plan), work);
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
    oci::write_image_layout(
        image, [&store](const BlobDigest& digest) { return open_file(store.blob_path(digest), O_RDONLY); },
        plan.directory);
    if (plan.reset) oci::drop_unreferenced_blobs(plan.directory);
    return true;
  };
  co_await offload(workspace.runtime.pool(), write);
}

Task<void> export_one(const CachePlan& plan, const SolvedKeys& keys, Workspace& workspace,
                      std::map<std::string, std::string>& response, solve::StepSink& step) {
  step.status("preparing build cache for export", 0, 0, false);
  ops::SealRequest request = plan.seal;
  request.leave_remote = plan.type == "registry";
  ops::CollectedCache const cache = co_await ops::collect_cache(
      keys.records, {keys.results, plan.all}, std::move(request), workspace.sealer, step);
  step.status("preparing build cache for export", 0, 0, true);
  if (cache.config.layers.empty()) {
    step.status("skipping cache export for empty result", 0, 0, true);
    co_return;
  }
  oci::ExportImage const image =
      ops::make_cache_image(cache, plan.image_manifest, plan.seal.oci_media_types);
  if (plan.type == "registry") {
    PushOptions push;
    push.insecure = plan.insecure;
    std::vector<store::LayerChain> chains{cache.chain};
    co_await push_names({plan.ref}, push, image, std::move(chains), workspace, step);
  } else {
    co_await write_local(plan, image, workspace);
  }
  show_written(image, plan.image_manifest, step);
  response["cache.manifest"] = oci::to_json(
      oci::describe(image.root.media_type, image.root.digest, image.root.text.size()));
}

std::string export_name(const CachePlan& plan) {
  return plan.type == "registry" ? "exporting cache to registry"
                                 : "exporting cache to client directory";
}

}  // namespace

void check_caches(const BuildOptions& options) {
  std::vector<CacheOptions> seen;
  for (const CacheOptions& cache : options.cache_exports) {
    check_type(cache, true);
    CachePlan const plan = parse_plan(cache);
    if (plan.type == "local" && plan.directory.empty()) {
      refuse("local cache exporter requires dest: dest=DIR");
    }
    if (std::ranges::find(seen, cache) != seen.end()) {
      refuse("duplicate cache exports [" + cache.type + "]");
    }
    seen.push_back(cache);
  }
  for (const CacheOptions& cache : options.cache_imports) {
    check_type(cache, false);
    CachePlan const plan = parse_plan(cache);
    if (plan.type == "local" && plan.directory.empty()) refuse("local cache importer requires src: src=DIR");
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
  std::vector<std::pair<CachePlan, std::optional<solve::ImportedCache>>> caches;
  for (const CacheOptions& cache : options.cache_imports) caches.emplace_back(parse_plan(cache), std::nullopt);
  std::vector<std::size_t> indexes;
  for (std::size_t i = 0; i < caches.size(); ++i) indexes.push_back(i);
  auto work = [&](std::size_t i) {
    return import_into(caches[i].first, caches[i].second, workspace, progress);
  };
  std::size_t const count = std::max<std::size_t>(1, indexes.size());
  co_await for_each_bounded(std::move(indexes), count, work);
  std::vector<solve::ImportedCache> imported;
  for (auto& [plan, cache] : caches) {
    if (cache) imported.push_back(*std::move(cache));
  }
  co_return imported;
}

Task<void> export_caches(const BuildOptions& options, const SolvedKeys& keys, Workspace& workspace,
                         progress::Sink& progress, std::map<std::string, std::string>& response) {
  for (const CacheOptions& cache : options.cache_exports) {
    if (cache.type == "inline") continue;
    CachePlan const plan = parse_plan(cache);
    auto work = [&](InternalStep& step) {
      return export_one(plan, keys, workspace, response, step);
    };
    try {
      co_await in_step<void>(progress, export_name(plan), work);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kCancelled) throw;
      if (!plan.ignore_error) throw error.with_context("failed to export cache");
    }
  }
}

}  // namespace cobuild::cli
