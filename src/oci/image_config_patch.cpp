#include "oci/image_config_patch.hpp"

#include <algorithm>
#include <utility>

#include "oci/base64.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::oci {

namespace {

constexpr std::string_view kHistoryComment = "buildkit.exporter.image.v0";
constexpr std::string_view kSquashComment = "cobuild.exporter.squash.v0";
constexpr std::string_view kUnknownDescription = "created by buildkit";
constexpr const char* kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::optional<std::string> format(const std::optional<Timestamp>& time) {
  if (!time) return std::nullopt;
  return format_rfc3339(*time);
}

/// What the entries above the base image's layers made is one layer now, which is the last entry's.
void merge_history(std::vector<History>& history, std::size_t layers_below,
                   const std::vector<ImageLayer>& layers) {
  std::size_t layer = 0;
  for (History& entry : history) {
    if (entry.empty_layer || layer++ < layers_below) continue;
    entry.empty_layer = true;
  }
  if (layers.size() <= layers_below) return;
  History entry;
  entry.created = format(layers[layers_below].created_at);
  entry.created_by = layers[layers_below].description;
  entry.comment = kSquashComment;
  history.push_back(std::move(entry));
}

/// One history entry for each layer, no more and no fewer (F4.5.8).
void match_layers(std::vector<History>& history, const std::vector<ImageLayer>& layers) {
  std::size_t described = 0;
  for (History& entry : history) {
    if (entry.empty_layer) continue;
    if (described >= layers.size()) {
      entry.empty_layer = true;
    } else {
      ++described;
    }
  }
  for (; described < layers.size(); ++described) {
    const ImageLayer& layer = layers[described];
    History entry;
    entry.created = format(layer.created_at);
    entry.created_by = layer.description.empty() ? kUnknownDescription : layer.description;
    entry.comment = kHistoryComment;
    history.push_back(std::move(entry));
  }
}

/// Layers know when they were made. What changes metadata only takes the time of the next new
/// layer, or of the last one before it (F10.87).
void fill_times(std::vector<History>& history, const std::vector<ImageLayer>& layers) {
  std::size_t layer = 0;
  for (History& entry : history) {
    if (entry.empty_layer) continue;
    if (!entry.created) entry.created = format(layers[layer].created_at);
    ++layer;
  }
  // The first time after the first entry without one: times before it are the base image's.
  std::optional<std::string> time;
  bool saw_gap = false;
  for (const History& entry : history) {
    if (!entry.created) {
      saw_gap = true;
      continue;
    }
    time = entry.created;
    if (saw_gap) break;
  }
  saw_gap = false;
  for (History& entry : history) {
    if (!entry.created) {
      saw_gap = true;
      entry.created = time;
    } else if (saw_gap) {
      time = entry.created;
    }
  }
}

bool is_later(const std::string& time, Timestamp epoch) {
  std::optional<Timestamp> const parsed = try_parse_rfc3339(time);
  return parsed && *parsed > epoch;
}

/// F4.6.1, F10.96: what the base image had stays as it is, up to the first entry that differs.
void clamp_times(std::vector<History>& history, Timestamp epoch, const std::string& base_config) {
  std::vector<History> base;
  if (!base_config.empty()) base = parse_image_config(base_config).history;
  std::size_t i = 0;
  while (i < history.size() && i < base.size() && history[i] == base[i]) ++i;
  for (; i < history.size(); ++i) {
    std::optional<std::string>& created = history[i].created;
    if (!created || is_later(*created, epoch)) created = format_rfc3339(epoch);
  }
}

std::map<std::string, std::string> public_annotations(
    const std::map<std::string, std::string>& all) {
  std::map<std::string, std::string> kept;
  for (const auto& [key, value] : all) {
    if (key == "containerd.io/uncompressed" || key == "buildkit/createdat") continue;
    if (key.starts_with("containerd.io/distribution.source.")) continue;
    kept.emplace(key, value);
  }
  return kept;
}

std::string patched_config(std::string_view frontend_config, const std::vector<ImageLayer>& layers,
                           const ImageOptions& options) {
  ImageConfig const parsed = parse_image_config(frontend_config);
  ImageConfigPatch patch;
  patch.history = parsed.history;
  if (options.squashed_above) merge_history(patch.history, *options.squashed_above, layers);
  match_layers(patch.history, layers);
  fill_times(patch.history, layers);
  for (const ImageLayer& layer : layers) patch.diff_ids.push_back(layer.diff_id);
  if (options.epoch) {
    clamp_times(patch.history, *options.epoch, options.base_config);
    if (parsed.created && is_later(*parsed.created, *options.epoch)) {
      patch.created = format_rfc3339(*options.epoch);
    }
  }
  if (options.inline_cache) {
    patch.members.emplace("moby.buildkit.cache.v0", '"' + to_base64(*options.inline_cache) + '"');
  }
  return patch_image_config(frontend_config, patch);
}

}  // namespace

BuiltImage build_image(std::string_view frontend_config, const std::vector<ImageLayer>& layers,
                       const ImageOptions& options) {
  bool const oci = options.oci_media_types;
  TypeFamily const family = oci ? TypeFamily::kOci : TypeFamily::kDocker;
  std::string config = patched_config(frontend_config, layers, options);
  BlobDigest const config_digest{Digest::of(config)};
  std::string const config_type(oci ? kOciConfig : kDockerConfig);
  std::string const manifest_type(oci ? kOciManifest : kDockerManifest);

  Manifest manifest;
  manifest.media_type = manifest_type;
  manifest.annotations = options.manifest_annotations;
  manifest.config = Descriptor{.media_type = config_type,
                               .digest = config_digest,
                               .size = config.size(),
                               .urls = {},
                               .annotations = {},
                               .platform = std::nullopt,
                               .artifact_type = {},
                               .data = {}};
  for (const ImageLayer& layer : layers) {
    std::map<std::string, std::string> annotations;
    if (oci) annotations = public_annotations(layer.annotations);
    manifest.layers.push_back(Descriptor{.media_type = convert_type(layer.media_type, family),
                                         .digest = layer.blob_digest,
                                         .size = static_cast<std::uint64_t>(layer.blob_bytes),
                                         .urls = layer.urls,
                                         .annotations = std::move(annotations),
                                         .platform = std::nullopt,
                                         .artifact_type = {},
                                         .data = {}});
  }
  std::string text = to_json(manifest);
  BlobDigest const manifest_digest{Digest::of(text)};
  return BuiltImage{.config = std::move(config),
                    .manifest = std::move(text),
                    .config_digest = config_digest,
                    .manifest_digest = manifest_digest,
                    .config_media_type = config_type,
                    .manifest_media_type = manifest_type};
}

std::string default_image_config(std::string_view os, std::string_view architecture,
                                 std::string_view variant) {
  ImageConfig config;
  config.platform.os = os;
  config.platform.architecture = architecture;
  config.platform.variant = variant;
  config.config.working_dir = "/";
  if (os != "windows") config.config.env = {kDefaultPath};
  return to_json(config);
}

}  // namespace cobuild::oci
