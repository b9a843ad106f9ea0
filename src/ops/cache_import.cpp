// From a cache's manifest and config to keys.

#include <boost/json.hpp>

#include <map>
#include <utility>

#include "core/base/error.hpp"
#include "oci/resolve.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/json_text.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"
#include "ops/remote_cache.hpp"
#include "registry/base64.hpp"

namespace cobuild::ops {
namespace {

constexpr const char* kUncompressed = "containerd.io/uncompressed";
constexpr std::size_t kInlinePlatformsMax = 32;

void check_size(const oci::Descriptor& blob) {
  if (blob.size <= kCacheDocumentBytesMax) return;
  throw Error(ErrorKind::kCorrupt, "blob " + blob.digest.to_string() + " is too large (" +
                                       std::to_string(blob.size) + " > " +
                                       std::to_string(kCacheDocumentBytesMax) + ")");
}

std::optional<DiffId> diff_id_of(const oci::Descriptor& blob) {
  auto const found = blob.annotations.find(kUncompressed);
  if (found == blob.annotations.end()) return std::nullopt;
  auto const digest = Digest::try_parse(found->second);
  return digest ? std::optional(DiffId(*digest)) : std::nullopt;
}

/// Which layers can be had, with all that are below them.
std::vector<bool> find_whole(const oci::CacheConfig& config, const std::vector<bool>& known) {
  std::vector<std::optional<bool>> whole(config.layers.size());
  for (std::size_t first = 0; first < whole.size(); ++first) {
    std::vector<std::size_t> path;
    std::optional<std::size_t> at = first;
    for (; at && !whole[*at]; at = config.layers[*at].parent) path.push_back(*at);
    bool ok = !at || *whole[*at];
    for (auto index = path.rbegin(); index != path.rend(); ++index) {
      ok = ok && known[*index];
      whole[*index] = ok;
    }
  }
  std::vector<bool> out;
  for (const auto& value : whole) out.push_back(*value);
  return out;
}

/// An image's config member with its cache, unpacked; empty when there is none.
std::string inline_cache_of(const std::string& config) {
  boost::json::value const value = oci::parse_json(config, "image config");
  const boost::json::object* const object = value.if_object();
  if (object == nullptr) return {};
  const boost::json::value* const member = object->if_contains("moby.buildkit.cache.v0");
  if (member == nullptr || !member->is_string()) return {};
  auto text = registry::base64_decode(std::string_view(member->get_string()));
  if (!text) throw Error(ErrorKind::kCorrupt, "the image config's inline cache is no base64");
  return *std::move(text);
}

solve::ImportedCache from_image(const oci::Manifest& manifest, const std::string& config_text,
                                const std::string& source) {
  std::string const records = inline_cache_of(config_text);
  oci::ImageConfig const image = oci::parse_image_config(config_text);
  if (records.empty() || image.diff_ids.size() != manifest.layers.size()) return {};
  oci::CacheConfig config;
  std::vector<oci::Descriptor> blobs = manifest.layers;
  for (std::size_t i = 0; i < blobs.size(); ++i) {
    blobs[i].annotations[kUncompressed] = image.diff_ids[i].to_string();
    config.layers.push_back(
        {blobs[i].digest, i == 0 ? std::nullopt : std::optional(i - 1), std::nullopt});
  }
  config.records = oci::parse_cache_records(records, blobs.size());
  return to_imported(std::move(config), blobs, source);
}

Task<solve::ImportedCache> import_from_image(oci::ContentSource& source, const CachePlace& place,
                                             oci::Manifest manifest) {
  if (!manifest.config || manifest.layers.empty()) co_return solve::ImportedCache();
  oci::Descriptor descriptor = *manifest.config;
  std::string const config = co_await oci::fetch_small_blob(
      source, place.reference, std::move(descriptor), oci::kImageConfigBytesMax);
  co_return from_image(manifest, config, place.source);
}

Task<solve::ImportedCache> import_from_index(oci::ContentSource& source, const CachePlace& place,
                                             oci::Index index) {
  solve::ImportedCache cache;
  std::size_t images = 0;
  for (const oci::Descriptor& entry : index.manifests) {
    if (!oci::is_manifest_type(entry.media_type) || ++images > kInlinePlatformsMax) continue;
    oci::Reference reference = place.reference;
    reference.tag.reset();
    reference.digest = entry.digest;
    auto content = co_await source.fetch_manifest(std::move(reference));
    if (!content) continue;
    oci::Manifest manifest = oci::parse_manifest(content->bytes);
    append_cache(cache, co_await import_from_image(source, place, std::move(manifest)));
  }
  co_return cache;
}

/// What a cache's own manifest lists: its config, if it has one, and its blobs.
struct Listed {
  std::optional<oci::Descriptor> config;
  std::vector<oci::Descriptor> blobs;
};

Listed list_of(const oci::Index& index) {
  Listed listed;
  for (const oci::Descriptor& entry : index.manifests) {
    if (entry.media_type == oci::kCacheConfigType) {
      listed.config = entry;
    } else {
      listed.blobs.push_back(entry);
    }
  }
  return listed;
}

Listed list_of(const oci::Manifest& manifest) {
  Listed listed{{}, manifest.layers};
  if (manifest.config && manifest.config->media_type == oci::kCacheConfigType) {
    listed.config = manifest.config;
  }
  return listed;
}

Task<solve::ImportedCache> import_listed(oci::ContentSource& source, const CachePlace& place,
                                         Listed listed) {
  check_size(*listed.config);
  oci::Descriptor descriptor = *listed.config;
  std::string const text = co_await oci::fetch_small_blob(
      source, place.reference, std::move(descriptor), kCacheDocumentBytesMax);
  co_return to_imported(oci::parse_cache_config(text), listed.blobs, place.source);
}

}  // namespace

solve::ImportedCache to_imported(oci::CacheConfig config, const std::vector<oci::Descriptor>& blobs,
                                 const std::string& source) {
  std::map<BlobDigest, const oci::Descriptor*> described;
  for (const oci::Descriptor& blob : blobs) described[blob.digest] = &blob;
  solve::ImportedCache cache;
  std::vector<bool> known;
  for (const oci::CacheLayer& layer : config.layers) {
    solve::ImportedLayer imported{DiffId(layer.blob.digest()),
                                  {layer.blob, 0, {}, {source}, false},
                                  layer.parent};
    std::optional<DiffId> diff_id;
    if (auto const found = described.find(layer.blob); found != described.end()) {
      diff_id = diff_id_of(*found->second);
      imported.blob.size = static_cast<std::int64_t>(found->second->size);
      imported.blob.media_type = found->second->media_type;
    } else if (layer.annotations && layer.annotations->size > 0) {
      diff_id = layer.annotations->diff_id;
      imported.blob.size = layer.annotations->size;
      imported.blob.media_type = layer.annotations->media_type;
    }
    known.push_back(diff_id.has_value() && oci::is_layer_type(imported.blob.media_type));
    if (diff_id) imported.diff_id = *diff_id;
    cache.layers.push_back(std::move(imported));
  }
  std::vector<bool> const whole = find_whole(config, known);
  for (oci::CacheRecord& record : config.records) {
    solve::ImportedRecord imported{record.digest, {}, {}};
    for (const auto& alternatives : record.inputs) {
      auto& links = imported.inputs.emplace_back();
      for (const auto& input : alternatives) links.push_back({input.selector, input.link});
    }
    for (const auto& result : record.results) {
      if (!whole[result.layer]) continue;
      imported.results.push_back({{result.layer}, true, result.created_at.value_or(Timestamp())});
    }
    for (auto& chain : record.chains) {
      bool all_known = true;
      for (std::size_t const layer : chain.layers) all_known = all_known && known[layer];
      if (!all_known) continue;
      imported.results.push_back(
          {std::move(chain.layers), false, chain.created_at.value_or(Timestamp())});
    }
    cache.records.push_back(std::move(imported));
  }
  return cache;
}

void append_cache(solve::ImportedCache& cache, solve::ImportedCache more) {
  std::size_t const layers = cache.layers.size();
  std::size_t const records = cache.records.size();
  for (solve::ImportedLayer& layer : more.layers) {
    if (layer.parent) *layer.parent += layers;
    cache.layers.push_back(std::move(layer));
  }
  for (solve::ImportedRecord& record : more.records) {
    for (auto& links : record.inputs) {
      for (solve::CacheLink& link : links) link.record += records;
    }
    for (solve::ImportedResult& result : record.results) {
      for (std::size_t& layer : result.layers) layer += layers;
    }
    cache.records.push_back(std::move(record));
  }
}

Task<std::optional<solve::ImportedCache>> import_cache(oci::ContentSource& source, CachePlace place,
                                                       solve::StepSink& step) {
  auto content = co_await source.fetch_manifest(place.reference);
  if (!content) co_return std::nullopt;
  check_size(content->descriptor);
  std::string const type = oci::detect_manifest_type(content->bytes).value_or("");
  bool const is_index = oci::is_index_type(type);
  if (!is_index && !oci::is_manifest_type(type)) {
    throw Error(ErrorKind::kCorrupt, place.name + " is neither a cache nor an image");
  }
  step.status("inferred cache manifest type: " + type, 0, 0, true);
  solve::ImportedCache cache;
  if (is_index) {
    oci::Index index = oci::parse_index(content->bytes);
    Listed listed = list_of(index);
    cache = listed.config ? co_await import_listed(source, place, std::move(listed))
                          : co_await import_from_index(source, place, std::move(index));
  } else {
    oci::Manifest manifest = oci::parse_manifest(content->bytes);
    Listed listed = list_of(manifest);
    cache = listed.config ? co_await import_listed(source, place, std::move(listed))
                          : co_await import_from_image(source, place, std::move(manifest));
  }
  cache.name = place.name;
  co_return cache;
}

}  // namespace cobuild::ops
