#pragma once

/// From a name to an image for one platform.

#include <cstddef>
#include <string>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/platform.hpp"

namespace cobuild::oci {

/// An index may lead to another this often.
inline constexpr std::size_t kIndexDepthMax = 4;

struct ResolvedImage {
  Reference reference;  ///< As asked for.
  Descriptor root;      ///< What the name led to: an index or a manifest. Pins the image.
  Descriptor manifest_descriptor;  ///< The manifest for the platform; equals root without an index.
  std::string manifest_bytes;
  Manifest manifest;         ///< Its layers, lowest first, are what to fetch.
  std::string config_bytes;  ///< The image config, digest checked. Parse with parse_image_config.
};

/// Finds the manifest of `reference` for `platform` and fetches it and its config.
///
/// An index yields its best entry (rank_for_platform); a plain manifest is taken whatever its
/// platform, as BuildKit does: compare the config's platform where that matters.
/// \throws Error kNotFound when there is no such image or "no match for platform in manifest …"
/// (then with the platforms that there are); whatever the source throws.
Task<ResolvedImage> resolve_image(ContentSource& source, Reference reference, Platform platform);

/// A blob that is small enough for memory, digest checked. \throws Error kCorrupt when it is larger
/// than `bytes_max`.
Task<std::string> fetch_small_blob(ContentSource& source, Reference repository, Descriptor blob,
                                   std::size_t bytes_max);

}  // namespace cobuild::oci
