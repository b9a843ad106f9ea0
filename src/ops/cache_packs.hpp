#pragma once

/// Small layers of a cache that lie together in objects, packs, since services charge for each
/// object: which do, decided apart from the doing, and how a pack is read while it is made.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "oci/content.hpp"
#include "oci/object_source.hpp"
#include "oci/push_image.hpp"
#include "oci/spec/descriptor.hpp"
#include "ops/remote_cache.hpp"

namespace cobuild::ops {

/// Layers of so many bytes are objects of their own: little is won by joining them.
inline constexpr std::uint64_t kPackedLayerBytesMax = std::uint64_t{8} << 20;
/// No pack is longer. So a pack that has no room for one more layer is full by three quarters.
inline constexpr std::uint64_t kPackBytesMax = std::uint64_t{32} << 20;
/// So many packs with less than kPackBytesMax / 2 of use may stay. With more, all of those are made
/// anew: else each build would leave one more, of what was new in it.
inline constexpr std::size_t kSmallPacksMax = 16;

/// What becomes one object: a pack if these are several, else the layer itself.
using LayerGroup = std::vector<oci::Descriptor>;

/// The blobs of `cache`, each once: what lies on a layer comes after it, and, as far as there are no
/// branches, at once. So layers that are read together are next to each other.
[[nodiscard]] std::vector<oci::Descriptor> layers_in_chain_order(const CollectedCache& cache);

/// Those of `layers` that stay in the packs where `known` has them: not those that are suspect or
/// said to have another size, nor those in packs of which less than half is of use, nor those in small
/// packs of which there are too many.
[[nodiscard]] oci::PackedLayers keep_packed(const std::vector<oci::Descriptor>& layers,
                                            const oci::PackedLayers& known);

/// The `layers` that are not in `packed`, in their order: those that are small together up to
/// kPackBytesMax, each of the others alone.
[[nodiscard]] std::vector<LayerGroup> group_layers(const std::vector<oci::Descriptor>& layers,
                                                   const oci::PackedLayers& packed);

/// The blobs of a group, one after the other, from the first byte each time that it is opened; both
/// outlive what is returned. Reading \throws Error kCorrupt for a blob that is too short, and what
/// `blobs` throws.
[[nodiscard]] oci::OpenBlob open_pack(oci::LayerBlobs& blobs, const LayerGroup& group);

}  // namespace cobuild::ops
