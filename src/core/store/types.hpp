#pragma once

/// The nouns of the store: layers, and refs made of them. Plain values.
///
/// A *layer* is one set of changes: an overlay lower directory, whiteouts included, that does not
/// know what it is stacked on. A *ref* is a stack of layers, lowest first, and is what an op makes:
/// the empty ref is scratch, merging is appending, and a ref may be passed on without any of its
/// files being here yet.

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"

namespace cobuild::store {

/// A row of the layer table. Never reused, valid in one store only.
struct LayerId {
  std::int64_t value = 0;
  friend auto operator<=>(const LayerId&, const LayerId&) = default;
};

/// A stack of layers, lowest first. Empty: scratch.
using LayerChain = std::vector<LayerId>;

/// Where the compressed bytes of a layer are, or could be had from.
struct LayerBlob {
  BlobDigest digest;
  std::int64_t size = 0;  ///< Bytes, compressed.
  std::string media_type;
  /// Images this blob was seen in ("docker.io/library/debian"), newest first: where to fetch it
  /// from while it is not in blobs/, and what a push may mount it from. Empty for layers made here.
  std::vector<std::string> sources;
  bool present = false;  ///< blobs/sha256/<hex> exists and was verified when it was written.
};

/// F5.1.2.
enum class RecordKind { kRegular, kInternal, kFrontend, kLocalSource, kGitCheckout, kCacheMount };
[[nodiscard]] std::string_view to_string(RecordKind kind) noexcept;

/// What the store knows about one layer.
struct Layer {
  LayerId id;
  /// Of the uncompressed tar: known for pulled layers, and for layers made here once sealed.
  std::optional<DiffId> diff_id;
  /// Its compressed forms, at most one for each (media type, source).
  std::vector<LayerBlob> blobs;
  /// snapshots/<id>/fs exists and is whole. False also while that is not known, after a power cut:
  /// Store::confirm_snapshot finds out.
  bool has_snapshot = false;
  std::int64_t size =
      0;  ///< Bytes of this layer's own files; the blob's while there is no snapshot.
  /// Set for one that only holds what differs from this layer, on which it lies: to whoever exports
  /// them the two are one layer. The diff ID and the blobs are then those of the two together.
  std::optional<LayerId> amends;
  std::string description;  ///< The vertex's name, or where it came from.
  RecordKind kind = RecordKind::kRegular;
  Timestamp created_at;
  Timestamp last_used_at;
  std::int64_t usage_count = 0;
};

}  // namespace cobuild::store

template <>
struct std::hash<cobuild::store::LayerId> {
  std::size_t operator()(const cobuild::store::LayerId& id) const noexcept {
    return std::hash<std::int64_t>{}(id.value);
  }
};
