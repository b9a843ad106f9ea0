#pragma once

/// Images that this machine has by name: those that builds named, and those that were pulled.
///
/// A name is a note about layers, not a hold on them: the layers are collected when nobody has used
/// them for long, and the name goes with them.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/go_time.hpp"
#include "core/store/store.hpp"
#include "oci/content.hpp"
#include "oci/export_image.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::ops {

struct KeptImage {
  oci::Reference name;  ///< With a tag or a digest, not both.
  Timestamp kept_at;
  oci::ExportImage image;
  /// Of all platforms, each once: they have the blobs of `image`, or know where those are.
  store::LayerChain layers;
};

/// Remembers `image`, made of `layers`, under `name`, in the place of what had that name.
/// False when its documents are too long for that (Store::kNoteBytesMax).
bool keep_image(store::Store& store, oci::Reference name, const oci::ExportImage& image,
                store::LayerChain layers);

/// The image with this name, its layers leased to this process. nullopt when there is none, when it
/// has another digest than `name` says, or when its layers were collected. `store` outlives the call.
Task<std::optional<KeptImage>> find_kept_image(store::Store& store, oci::Reference name);

/// All, by name. Those whose layers were collected are forgotten.
[[nodiscard]] std::vector<KeptImage> list_kept_images(store::Store& store);

/// The manifests and configs of `image`, whatever repository is asked for. Layers are kNotFound.
[[nodiscard]] std::unique_ptr<oci::ContentSource> make_document_source(oci::ExportImage image);

}  // namespace cobuild::ops
