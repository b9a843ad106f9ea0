#pragma once

/// Layers made here become blobs: what an image refers to.

#include <optional>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/go_time.hpp"
#include "core/solve/op.hpp"
#include "core/store/snapshotter.hpp"
#include "core/store/store.hpp"
#include "oci/compression.hpp"
#include "oci/image_config_patch.hpp"
#include "oci/layer_diff.hpp"
#include "ops/layer_fetcher.hpp"

namespace cobuild::ops {

struct SealRequest {
  oci::Compression compression = oci::Compression::kGzip;
  std::optional<int> level;
  /// Layers that have a blob of another compression are packed again (F4.2.15).
  bool force = false;
  bool oci_media_types = true;
  /// Layers whose blob is still where it came from are described and not fetched.
  bool leave_remote = false;
  /// Times in layers made by this build become this one at the latest (rewrite-timestamp, F4.6.2).
  std::optional<Timestamp> mtime_max;
  /// With mtime_max: so many of the lowest layers are the base image's, and are left as they are.
  std::size_t base_layers = 0;
};

/// Makes blobs of the layers of one chain.
class Sealer {
 public:
  /// What is passed by reference must outlive this.
  Sealer(asio::thread_pool& pool, store::Store& store, store::Snapshotter& snapshotter,
         LayerFetcher& fetcher);

  /// The layers of `chain` as an image lists them, every blob in the store when this returns (but
  /// for SealRequest::leave_remote). A
  /// layer that amends the one below it (\see store::Layer::amends) makes one with it. Layers that
  /// have one already are taken as they are; those of a base image that nobody has read are
  /// fetched, not unpacked. Several layers are sealed at once.
  Task<std::vector<oci::ImageLayer>> seal(store::LayerChain chain, SealRequest request,
                                          solve::StepSink& step);

 private:
  Task<oci::ImageLayer> seal_one(store::LayerChain chain, std::size_t position, bool together,
                                 SealRequest request, solve::StepSink& step);
  /// Another blob of the same tar.
  Task<oci::ImageLayer> repack(store::LayerId id, store::LayerBlob blob, SealRequest request,
                               solve::StepSink& step);
  /// Takes a finished blob into the store; as the layer's own if `keep`.
  Task<oci::ImageLayer> keep_blob(store::LayerId id, store::NewBlob file, oci::SealedLayer sealed,
                                  SealRequest request, bool keep);
  struct PackMode {
    bool clamp = false;     ///< To SealRequest::mtime_max.
    bool keep = true;       ///< The blob is the layer's own: later builds take it.
    bool together = false;  ///< With the layer below, which it amends.
  };
  Task<oci::ImageLayer> pack(store::LayerChain chain, std::size_t position, SealRequest request,
                             PackMode mode, solve::StepSink& step);

  asio::thread_pool& pool_;
  store::Store& store_;
  store::Snapshotter& snapshotter_;
  LayerFetcher& fetcher_;
};

}  // namespace cobuild::ops
