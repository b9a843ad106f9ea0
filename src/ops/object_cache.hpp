#pragma once

/// Build caches as single objects: a config that describes its layers itself (F5.3.3), and a blob
/// for each (F5.4.4 to F5.4.6), or, as only we read them, packs of several small ones.

#include <cstddef>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/solve/cache_record.hpp"
#include "core/solve/op.hpp"
#include "oci/object_source.hpp"
#include "oci/object_store.hpp"
#include "oci/push_image.hpp"
#include "ops/remote_cache.hpp"

namespace cobuild::ops {

/// No config that is an object is longer.
inline constexpr std::size_t kCacheObjectBytesMax = std::size_t{16} << 20;

/// Where a cache's config is: the object of that name, or the newest of those that begin with it.
struct ConfigObject {
  std::string name;
  bool newest = false;
};

/// The records of all `configs` that are there, none of their layers fetched; `source` is what
/// LayerBlob::sources says for them. Layers in packs are added to `packed`, but for those that are
/// among them already. What is passed by reference outlives the call.
/// \throws Error kCorrupt, and what `store` throws.
Task<solve::ImportedCache> import_objects(oci::ObjectStore& store, std::vector<ConfigObject> configs,
                                          std::string source, oci::PackedLayers& packed,
                                          solve::StepSink& step);

/// Adds the layers in packs of all `configs` that are there and can be read, as import_objects does.
/// What is passed by reference outlives the call. \throws Error what `store` throws.
Task<void> read_packed(oci::ObjectStore& store, std::vector<ConfigObject> configs,
                       oci::PackedLayers& packed);

/// The config with its annotations, as it is stored; \see export_packed for `packed`.
[[nodiscard]] std::string annotated_config(const CollectedCache& cache,
                                           const oci::PackedLayers& packed = {});

/// Stores the blobs of `cache` that are not there yet, `parallel` at once, each under `blobs_prefix`
/// and its digest; those that are old are made new. What is passed by reference outlives the call.
/// \throws Error what `store` and `blobs` throw.
Task<void> export_blobs(oci::ObjectStore& store, std::string blobs_prefix, std::size_t parallel,
                        const CollectedCache& cache, oci::LayerBlobs& blobs, solve::StepSink& step);

/// The same with packs: blobs that `known` has in packs that are still there and worth keeping
/// (\see keep_packed) stay in them, the others below kPackedLayerBytesMax go into new ones, each under
/// `blobs_prefix` and its digest, and what is larger is stored as by export_blobs. Where all layers in
/// packs are then. What is passed by reference outlives the call. \throws Error as export_blobs.
Task<oci::PackedLayers> export_packed(oci::ObjectStore& store, std::string blobs_prefix,
                                      std::size_t parallel, const CollectedCache& cache,
                                      oci::PackedLayers known, oci::LayerBlobs& blobs,
                                      solve::StepSink& step);

}  // namespace cobuild::ops
