#pragma once

/// What `images` and `inspect` print.

#include <functional>
#include <string>
#include <vector>

#include "core/base/digest.hpp"
#include "oci/spec/descriptor.hpp"
#include "ops/kept_images.hpp"

namespace cobuild::cli {

/// NAME, DIGEST, PLATFORM, KEPT SINCE and SIZE: what the layers and documents of all platforms take in a
/// registry, each once.
[[nodiscard]] std::string render_images_table(const std::vector<ops::KeptImage>& images);
/// One JSON object for each image and line, with the members name, digest, mediaType, platforms,
/// keptAt and size (bytes).
[[nodiscard]] std::string render_images_json(const std::vector<ops::KeptImage>& images);

/// One image as indented JSON: what `images` says of it, and for each platform its manifest's
/// digest, its config, and its layers; `here` tells whether a blob is in the store.
[[nodiscard]] std::string render_image(const ops::KeptImage& image,
                                       const std::function<bool(const BlobDigest&)>& here);

/// The manifest or index, as it is.
[[nodiscard]] std::string raw_manifest(const ops::KeptImage& image);
/// The image config; of the first platform when there are several.
/// \throws Error kNotFound when the image has none.
[[nodiscard]] std::string raw_config(const ops::KeptImage& image);

/// DIGEST, ARTIFACT TYPE, SIZE of the manifest, and CREATED as its annotation says.
[[nodiscard]] std::string render_referrers_table(const std::vector<oci::Descriptor>& referrers);
/// The descriptor of each on a line.
[[nodiscard]] std::string render_referrers_json(const std::vector<oci::Descriptor>& referrers);

}  // namespace cobuild::cli
