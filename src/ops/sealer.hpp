#pragma once

/// Layers made here become blobs: what an image refers to.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/go_time.hpp"
#include "core/solve/op.hpp"
#include "core/store/store.hpp"
#include "oci/compression.hpp"
#include "oci/image_config_patch.hpp"
#include "oci/layer_diff.hpp"
#include "ops/background_pace.hpp"
#include "ops/growing_blob.hpp"
#include "ops/layer_fetcher.hpp"

namespace cobuild::ops {

struct SealRequest {
  oci::Compression compression = oci::Compression::kGzip;
  /// gzip of which single files can be read. Such blobs have a diff ID of their own.
  bool stargz = false;
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
  /// All layers above so many of the lowest become one.
  std::optional<std::size_t> squash_above;

  friend bool operator==(const SealRequest&, const SealRequest&) = default;
};

/// Makes blobs of the layers of one chain.
class Sealer {
 public:
  /// A layer of an image: where in the chain the highest of those that make it is, and how many
  /// these are.
  struct Place {
    std::size_t position;
    std::size_t index;  ///< In the image.
    std::size_t own;
  };

  /// What is passed by reference must outlive this. With a `pace`, each layer is packed by one
  /// thread of `pool` alone, at that pace; otherwise by all of them.
  Sealer(asio::thread_pool& pool, store::Store& store, LayerFetcher& fetcher,
         BackgroundPace* pace = nullptr);

  /// The layers of `chain` as an image lists them, every blob in the store when this returns (but
  /// for SealRequest::leave_remote). A
  /// layer that amends the one below it (\see store::Layer::amends) makes one with it. Layers that
  /// have one already are taken as they are; those of a base image that nobody has read are
  /// fetched, not unpacked. Several layers are sealed at once. `watcher`, unless null, is told of
  /// those that are packed.
  Task<std::vector<oci::ImageLayer>> seal(store::LayerChain chain, SealRequest request,
                                          solve::StepSink& step, PackWatcher* watcher = nullptr);

  /// The layers of an image of `chain`.
  [[nodiscard]] static std::vector<Place> places(store::Store& store,
                                                 const store::LayerChain& chain,
                                                 const SealRequest& request);

  /// The highest layer of an image of `chain`, which the `own` highest layers of that make.
  Task<oci::ImageLayer> seal_layer(store::LayerChain chain, std::size_t own, SealRequest request,
                                   solve::StepSink& step, PackWatcher* watcher = nullptr);

 private:
  struct PackMode {
    bool clamp = false;   ///< To SealRequest::mtime_max.
    bool keep = true;     ///< The blob is the layer's own: later builds take it.
    std::size_t own = 1;  ///< So many of the highest layers become one.
    std::string form{};   ///< The name of the form, where the blob is not the layer's own.
    PackWatcher* watcher = nullptr;
  };
  /// The layer's blob as it is; nullopt when another one must be made.
  Task<std::optional<oci::ImageLayer>> take(store::Layer layer, SealRequest request,
                                            solve::StepSink& step);
  class Watch;
  /// Another blob of the same tar.
  Task<oci::ImageLayer> repack(store::LayerId id, store::LayerBlob blob, SealRequest request,
                               PackMode mode, solve::StepSink& step);
  /// Awaits `pack` on the pool; it stops soon after a cancellation.
  Task<oci::SealedLayer> run(SealRequest request,
                             std::function<oci::SealedLayer(const oci::SealOptions&)> pack);
  Task<oci::ImageLayer> pack(store::LayerChain chain, SealRequest request, PackMode mode,
                             solve::StepSink& step);
  /// Takes a finished blob into the store, as the layer's own or as a form of it.
  Task<oci::ImageLayer> keep_blob(store::LayerId id, store::NewBlob file, oci::SealedLayer sealed,
                                  SealRequest request, PackMode mode);
  [[nodiscard]] oci::ImageLayer describe(const store::Layer& layer, const store::LayerBlob& blob);

  asio::thread_pool& pool_;
  store::Store& store_;
  LayerFetcher& fetcher_;
  BackgroundPace* pace_;
};

}  // namespace cobuild::ops
