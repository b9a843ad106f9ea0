#pragma once

/// The config that a frontend gives, and the layers that were made, become an image: config and
/// manifest, byte for byte as BuildKit writes them (F4.5.3 to F4.5.11, F4.6.1, F10.85 to F10.87).
/// Pure functions.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"

namespace cobuild::oci {

/// One layer of the image, lowest first in lists.
struct ImageLayer {
  DiffId diff_id;
  BlobDigest blob_digest;
  std::int64_t blob_bytes = 0;
  std::string media_type;  ///< OCI's or Docker's; written as ImageOptions asks for.
  std::vector<std::string> urls{};  ///< Where else it may be had.
  std::map<std::string, std::string> annotations;  ///< Internal ones are dropped (F4.5.6).
  std::optional<Timestamp> created_at;             ///< When the layer was made.
  std::string description;  ///< What made it: created_by of a lost history entry.
};

struct ImageOptions {
  bool oci_media_types = true;              ///< False: Docker's (F4.5.2).
  std::optional<Timestamp> epoch;           ///< SOURCE_DATE_EPOCH.
  std::string base_config;                  ///< The base image's config JSON, or empty: F10.96.
  std::optional<std::string> inline_cache;  ///< F4.5.10, raw JSON bytes.
  std::map<std::string, std::string> manifest_annotations;
  /// All layers above so many were made one, which is the last of the list: the history says so.
  std::optional<std::size_t> squashed_above;
};

/// What there is to store and to name.
struct BuiltImage {
  std::string config;    ///< Compact JSON, keys sorted.
  std::string manifest;  ///< JSON, 2-space indent.
  BlobDigest config_digest;
  BlobDigest manifest_digest;
  std::string config_media_type;
  std::string manifest_media_type;
};

/// \throws Error kInvalidInput: "invalid image config for export: missing os" and the like.
[[nodiscard]] BuiltImage build_image(std::string_view frontend_config,
                                     const std::vector<ImageLayer>& layers,
                                     const ImageOptions& options = {});

/// The config of an image whose frontend gave none (F4.5.11), for a platform such as
/// "linux"/"arm64"/"v8"; an empty `variant` is left out.
[[nodiscard]] std::string default_image_config(std::string_view os, std::string_view architecture,
                                               std::string_view variant);

}  // namespace cobuild::oci
