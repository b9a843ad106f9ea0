#pragma once

/// What one --cache-to or --cache-from asks for, read (F5.2, F5.4). Pure, but for variables of the
/// environment that stand in for attributes.

#include <optional>
#include <string>
#include <string_view>

#include "cli/object_places.hpp"
#include "cli/options.hpp"
#include "core/base/digest.hpp"
#include "ops/sealer.hpp"

namespace cobuild::cli {

struct CachePlan {
  std::string type;
  std::string ref;        ///< registry.
  std::string directory;  ///< local: dest or src.
  std::string tag = "latest";
  std::optional<BlobDigest> digest;
  std::optional<ObjectPlace> objects;  ///< gha, s3, azblob.
  ops::SealRequest seal;
  bool all = false;  ///< mode=max.
  bool image_manifest = true;
  bool insecure = false;
  bool reset = false;
  bool pack = false;  ///< gha, s3, azblob: small layers go into packs.
};

enum class CacheUse { kImport, kExport };

/// \throws Error kInvalidInput: an unknown type, missing and malformed values.
[[nodiscard]] CachePlan parse_cache_plan(const CacheOptions& cache, CacheUse use);

/// Whether what goes wrong with it fails no build (F5.2.3). \throws Error kInvalidInput.
[[nodiscard]] bool ignores_errors(const CacheOptions& cache);

/// The place as it is shown.
[[nodiscard]] std::string place_name(const CachePlan& plan);
/// What the step of an export is called (F5.2.7).
[[nodiscard]] std::string export_name(std::string_view type);

}  // namespace cobuild::cli
