// From what was solved to a cache's config and blobs.

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/base/error.hpp"
#include "oci/export_index.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"
#include "ops/remote_cache.hpp"

namespace cobuild::ops {
namespace {

bool is_prefix(const store::LayerChain& part, const store::LayerChain& whole) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

/// Whether a record's result goes out. Those of sources do not: they can be had from there.
bool is_in_scope(const solve::KeyRecord& record, const CacheScope& scope) {
  if (!record.result || record.result->layers.empty() || record.inputs.empty()) return false;
  return scope.all || std::ranges::any_of(scope.results, [&](const store::LayerChain& chain) {
           return is_prefix(record.result->layers, chain);
         });
}

/// The layers of a cache's config, each with its parents once.
class LayerTable {
 public:
  explicit LayerTable(CollectedCache& cache) : cache_(cache) {}

  /// The index of the uppermost of `layers`.
  std::size_t add(const std::vector<oci::ImageLayer>& layers) {
    std::optional<std::size_t> parent;
    for (const oci::ImageLayer& layer : layers) {
      auto const [place, is_new] =
          places_.emplace(std::pair(layer.blob_digest, parent), cache_.config.layers.size());
      if (is_new) cache_.config.layers.push_back({layer.blob_digest, parent, std::nullopt});
      blobs_.emplace(layer.blob_digest, layer);
      parent = place->second;
    }
    return parent.value();
  }

  /// In the order of the config's layers, which has been settled.
  void finish() {
    std::set<BlobDigest> seen;
    for (const oci::CacheLayer& layer : cache_.config.layers) {
      if (seen.insert(layer.blob).second) cache_.layers.push_back(blobs_.at(layer.blob));
    }
  }

 private:
  CollectedCache& cache_;
  std::map<std::pair<BlobDigest, std::optional<std::size_t>>, std::size_t> places_;
  std::map<BlobDigest, oci::ImageLayer> blobs_;
};

oci::Descriptor describe_layer(const oci::ImageLayer& layer, oci::TypeFamily family) {
  oci::Descriptor descriptor =
      oci::describe(oci::convert_type(layer.media_type, family), layer.blob_digest,
                    static_cast<std::uint64_t>(layer.blob_bytes));
  descriptor.annotations = layer.annotations;
  descriptor.annotations["containerd.io/uncompressed"] = layer.diff_id.to_string();
  if (layer.created_at) {
    descriptor.annotations["buildkit/createdat"] = format_rfc3339(*layer.created_at);
  }
  return descriptor;
}

/// The blobs of a result, lowest first.
std::vector<BlobDigest> blobs_of(const oci::CacheConfig& config, std::size_t layer) {
  std::vector<BlobDigest> blobs;
  for (std::optional<std::size_t> at = layer; at; at = config.layers[*at].parent) {
    blobs.push_back(config.layers[*at].blob);
  }
  std::ranges::reverse(blobs);
  return blobs;
}

/// Leaves out the records from which no link leads to a result. BuildKit reads the caches of an
/// index's images side by side and takes a record from any that has it, also if only another one
/// has its result.
void drop_leading_nowhere(std::vector<oci::CacheRecord>& records) {
  std::vector<bool> leads(records.size());
  std::vector<std::size_t> path;
  auto const visit = [&](std::size_t at) {
    if (!leads[at]) path.push_back(at);
    leads[at] = true;
  };
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (!records[i].results.empty() || !records[i].chains.empty()) visit(i);
  }
  while (!path.empty()) {
    const oci::CacheRecord& record = records[path.back()];
    path.pop_back();
    for (const auto& alternatives : record.inputs) {
      for (const oci::CacheRecord::Input& input : alternatives) visit(input.link);
    }
  }
  std::vector<std::size_t> places(records.size());
  std::vector<oci::CacheRecord> kept;
  for (std::size_t i = 0; i < records.size(); ++i) {
    places[i] = kept.size();
    if (leads[i]) kept.push_back(std::move(records[i]));
  }
  for (oci::CacheRecord& record : kept) {
    for (auto& alternatives : record.inputs) {
      for (oci::CacheRecord::Input& input : alternatives) input.link = places[input.link];
    }
  }
  records = std::move(kept);
}

}  // namespace

Task<CollectedCache> collect_cache(std::vector<solve::KeyRecord> records, CacheScope scope,
                                   SealRequest request, store::Store& store, Sealer& sealer,
                                   solve::StepSink& step, PackWatcher* watcher) {
  CollectedCache cache;
  LayerTable table(cache);
  std::map<store::LayerChain, std::size_t> sealed;
  std::set<store::LayerId> ids;
  for (const solve::KeyRecord& record : records) {
    oci::CacheRecord out{record.digest, {}, {}, {}};
    for (const auto& links : record.inputs) {
      auto& alternatives = out.inputs.emplace_back();
      for (const solve::CacheLink& link : links) alternatives.push_back({link.selector, link.record});
    }
    if (is_in_scope(record, scope)) {
      store::LayerChain const chain = record.result->layers;
      auto known = sealed.find(chain);
      if (known == sealed.end() && co_await store.use(chain)) {
        auto const layers = co_await sealer.seal(chain, request, step, watcher);
        known = sealed.emplace(chain, table.add(layers)).first;
        ids.insert(chain.begin(), chain.end());
      }
      if (known != sealed.end()) out.results.push_back({known->second, record.created_at});
    }
    cache.config.records.push_back(std::move(out));
  }
  oci::sort_cache_config(cache.config);
  table.finish();
  cache.chain.assign(ids.begin(), ids.end());
  co_return cache;
}

oci::ExportImage make_cache_image(const CollectedCache& cache, bool image_manifest,
                                  bool oci_media_types) {
  auto const family = oci_media_types ? oci::TypeFamily::kOci : oci::TypeFamily::kDocker;
  std::string config = oci::to_json(cache.config);
  BlobDigest const config_digest(Digest::of(config));
  oci::Descriptor const described =
      oci::describe(std::string(oci::kCacheConfigType), config_digest, config.size());
  std::vector<oci::Descriptor> layers;
  for (const oci::ImageLayer& layer : cache.layers) layers.push_back(describe_layer(layer, family));
  std::string type;
  std::string text;
  if (image_manifest) {
    oci::Manifest manifest;
    manifest.media_type = type = std::string(oci::kOciManifest);
    manifest.config = described;
    manifest.layers = layers;
    text = oci::to_json(manifest);
  } else {
    oci::Index index;
    index.media_type = type = std::string(oci_media_types ? oci::kOciIndex : oci::kDockerIndex);
    index.manifests = layers;
    index.manifests.push_back(described);
    text = oci::to_json(index);
  }
  BlobDigest const digest(Digest::of(text));
  return {.root = {.media_type = std::move(type), .digest = digest, .text = std::move(text)},
          .documents = {{.media_type = std::string(oci::kCacheConfigType),
                         .digest = config_digest,
                         .text = std::move(config)}},
          .layers = std::move(layers),
          .config = {},
          .created = now(),
          .names = {},
          .descriptor_annotations = {},
          .platform = {}};
}

std::string make_inline_cache(const CollectedCache& cache,
                              const std::vector<oci::ImageLayer>& image) {
  std::map<BlobDigest, std::size_t> places;
  for (std::size_t i = 0; i < image.size(); ++i) places.emplace(image[i].blob_digest, i);
  std::vector<oci::CacheRecord> records = cache.config.records;
  bool any = false;
  for (oci::CacheRecord& record : records) {
    auto const results = std::exchange(record.results, {});
    for (const auto& result : results) {
      std::vector<BlobDigest> const blobs = blobs_of(cache.config, result.layer);
      oci::CacheRecord::Chain chain{{}, result.created_at};
      bool in_order = true;
      bool known = true;
      for (std::size_t i = 0; i < blobs.size() && known; ++i) {
        auto const place = places.find(blobs[i]);
        known = place != places.end();
        if (known) chain.layers.push_back(place->second);
        in_order = in_order && i < image.size() && image[i].blob_digest == blobs[i];
      }
      if (!known || blobs.empty()) continue;
      any = true;
      if (in_order) {
        record.results.push_back({blobs.size() - 1, result.created_at});
      } else {
        record.chains.push_back(std::move(chain));
      }
    }
  }
  if (!any) return {};
  drop_leading_nowhere(records);
  return oci::to_json(records);
}

}  // namespace cobuild::ops
