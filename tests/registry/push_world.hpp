#pragma once

/// Images to push, and whether they arrived.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oci/push_image.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/text_reader.hpp"
#include "registry/world.hpp"

namespace cobuild::registry::test {

inline oci::Descriptor describe(std::string_view type, const std::string& text) {
  return {.media_type = std::string(type),
          .digest = BlobDigest(Digest::of(text)),
          .size = text.size(),
          .urls = {},
          .annotations = {},
          .platform = {},
          .artifact_type = {},
          .data = {}};
}

/// Layers by their text; tells how often each was opened.
class Layers final : public oci::LayerBlobs {
 public:
  oci::Descriptor add(const std::string& text, std::string_view type = oci::kOciLayerGzip) {
    oci::Descriptor layer = describe(type, text);
    texts[layer.digest.to_string()] = text;
    return layer;
  }
  std::vector<std::string> repositories(const oci::Descriptor&, const std::string&) override {
    return sources;
  }
  Task<std::unique_ptr<oci::BlobReader>> open(oci::Descriptor layer) override {
    ++opened;
    if (unreadable) throw Error(ErrorKind::kUnavailable, "the source is gone");
    co_return std::make_unique<oci::TextReader>(texts.at(layer.digest.to_string()));
  }

  std::map<std::string, std::string> texts;
  std::vector<std::string> sources;
  int opened = 0;
  bool unreadable = false;
};

inline oci::ExportDocument document(std::string_view type, std::string text) {
  BlobDigest const digest(Digest::of(text));
  return {.media_type = std::string(type), .digest = digest, .text = std::move(text)};
}

inline oci::ExportImage image_of(const std::vector<oci::Descriptor>& layers,
                                 const std::string& config) {
  oci::Manifest manifest;
  manifest.media_type = oci::kOciManifest;
  manifest.config = describe(oci::kOciConfig, config);
  manifest.layers = layers;
  oci::ExportImage image{.root = document(oci::kOciManifest, oci::to_json(manifest)),
                         .documents = {document(oci::kOciConfig, config)},
                         .layers = layers,
                         .config = manifest.config->digest,
                         .created = {},
                         .names = {},
                         .descriptor_annotations = {},
                         .platform = {}};
  return image;
}

inline oci::ExportImage simple_image(Layers& layers) {
  return image_of({layers.add("one"), layers.add("two")}, R"({"os":"linux"})");
}

inline Task<void> push(World& world, const std::string& name, const oci::ExportImage& image,
                       Layers& layers) {
  oci::Reference reference = world.reference(name);
  oci::PushProgress progress;
  co_await oci::push_image(world.client(), std::move(reference), image, layers, progress);
}

inline bool has_image(const World& world, const std::string& path, const oci::ExportImage& image,
                      const Layers& layers) {
  for (const auto& [digest, text] : layers.texts) {
    auto const found = world.here.blobs().find(digest);
    if (found == world.here.blobs().end() || found->second != text) return false;
  }
  return world.here.manifest(path) == image.root.text;
}

}  // namespace cobuild::registry::test
