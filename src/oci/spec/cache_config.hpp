#pragma once

/// The text in which build caches travel (F5.3): `application/vnd.buildkit.cacheconfig.v0`.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"

namespace cobuild::oci {

inline constexpr std::string_view kCacheConfigType = "application/vnd.buildkit.cacheconfig.v0";

/// Where there is no manifest to describe the blobs (F5.3.3).
struct CacheLayerAnnotations {
  std::string media_type;
  std::optional<DiffId> diff_id;
  std::int64_t size = 0;  ///< Bytes of the blob.
  std::optional<Timestamp> created_at;
};

/// Where a layer's blob lies that is no object of its own: among others, one after the other, in an
/// object that is named by its digest. A member of our own. The layer's annotations are in it, without
/// which BuildKit, which would look for the layer's own object, takes no such cache.
struct CachePack {
  BlobDigest digest;         ///< Of the whole object.
  std::uint64_t size = 0;    ///< Bytes of the whole object.
  std::uint64_t offset = 0;  ///< Of the blob's first byte.
  std::uint64_t length = 0;  ///< Bytes of the blob.

  friend bool operator==(const CachePack&, const CachePack&) = default;
};

struct CacheLayer {
  BlobDigest blob;
  std::optional<std::size_t> parent;  ///< Index into the layers.
  std::optional<CacheLayerAnnotations> annotations;
  std::optional<CachePack> pack = std::nullopt;  ///< With annotations only.
};

struct CacheRecord {
  struct Result {
    std::size_t layer = 0;  ///< With its parents.
    std::optional<Timestamp> created_at;
  };
  /// Made by merge and diff: exactly these layers.
  struct Chain {
    std::vector<std::size_t> layers;
    std::optional<Timestamp> created_at;
  };
  struct Input {
    std::optional<Digest> selector;
    std::size_t link = 0;  ///< Index into the records.
  };
  Digest digest;
  std::vector<Result> results;
  std::vector<Chain> chains;
  std::vector<std::vector<Input>> inputs;
};

struct CacheConfig {
  std::vector<CacheLayer> layers;
  std::vector<CacheRecord> records;
};

/// Reads what somebody else wrote. Records are sorted so that inputs come before what they lead to.
/// Alternatives with a digest or selector of another kind than sha256 are left out, and so are
/// records that cannot be reached without them.
/// \throws Error kCorrupt: no such JSON, an index out of range, a loop, an input without
/// alternatives, a layer that is said to lie outside of its pack or to have another size there.
[[nodiscard]] CacheConfig parse_cache_config(std::string_view json);

/// Only the records, as an image config carries them (F4.5.10); the layers are those of the image.
/// \throws Error as parse_cache_config; for results beyond `layers`, too.
[[nodiscard]] std::vector<CacheRecord> parse_cache_records(std::string_view json, std::size_t layers);

/// Compact. Layers and records as they are: sort_cache_config gives F5.3.6's order.
[[nodiscard]] std::string to_json(const CacheConfig& config);
[[nodiscard]] std::string to_json(const std::vector<CacheRecord>& records);

/// The order that depends on nothing but the content (F5.3.6): layers by blob and parent, records by
/// digest and inputs.
void sort_cache_config(CacheConfig& config);

}  // namespace cobuild::oci
