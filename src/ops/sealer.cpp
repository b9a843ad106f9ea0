#include "ops/sealer.hpp"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/sys/fs.hpp"
#include "oci/layer_diff.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::ops {
namespace {

/// Layers sealed at once. Each compresses with all of the pool's threads, so this only keeps them
/// busy while one layer is at its end.
constexpr std::size_t kSealsMax = 4;

/// The blob to take as it is, or null when the layer must be packed.
const store::LayerBlob* usable_blob(const store::Layer& layer, const SealRequest& request) {
  const store::LayerBlob* any = nullptr;
  for (const store::LayerBlob& blob : layer.blobs) {
    if (oci::compression_of(blob.media_type) == request.compression) return &blob;
    if (any == nullptr || !blob.sources.empty()) any = &blob;
  }
  if (any == nullptr || request.force) return nullptr;
  // Layers from a registry keep their form; our own are packed as asked for.
  return any->sources.empty() ? nullptr : any;
}

/// The blob to make another one of, or null when none can be had: here rather than elsewhere.
const store::LayerBlob* repackable_blob(const store::Store& store, const store::Layer& layer) {
  const store::LayerBlob* found = nullptr;
  for (const store::LayerBlob& blob : layer.blobs) {
    if (blob.present && store.has_blob(blob.digest)) return &blob;
    if (!blob.sources.empty()) found = &blob;
  }
  return found;
}

oci::ImageLayer describe(const store::Layer& layer, const store::LayerBlob& blob, DiffId diff_id) {
  return oci::ImageLayer{.diff_id = diff_id,
                         .blob_digest = blob.digest,
                         .blob_bytes = blob.size,
                         .media_type = blob.media_type,
                         .annotations = {},
                         .created_at = layer.created_at,
                         .description = layer.description};
}

/// A layer of the image: where in the chain it is.
struct Place {
  std::size_t position;
  std::size_t index;  ///< In the image.
  bool together;      ///< With the one below it, which it amends.
};

Task<void> keep(std::optional<oci::ImageLayer>& sealed, Task<oci::ImageLayer> sealing) {
  sealed.emplace(co_await std::move(sealing));
}

/// Whether the layer at `position` and the one below are one layer of the image.
bool amends_the_one_below(store::Store& store, const store::LayerChain& chain,
                          std::size_t position) {
  return position > 0 && store.get_layer(chain[position]).amends == chain[position - 1];
}

std::string seal_status(const store::Layer& layer) {
  return "sealing layer: " + layer.description;
}

}  // namespace

Sealer::Sealer(asio::thread_pool& pool, store::Store& store, store::Snapshotter& snapshotter,
               LayerFetcher& fetcher)
    : pool_(pool), store_(store), snapshotter_(snapshotter), fetcher_(fetcher) {}

Task<std::vector<oci::ImageLayer>> Sealer::seal(store::LayerChain chain, SealRequest request,
                                                solve::StepSink& step) {
  std::vector<Place> places;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    bool const together = amends_the_one_below(store_, chain, i);
    if (together) places.pop_back();
    places.push_back({.position = i, .index = places.size(), .together = together});
  }
  std::vector<std::optional<oci::ImageLayer>> sealed(places.size());
  auto seal_at = [&](Place place) {
    return keep(sealed[place.index],
                seal_one(chain, place.position, place.together, request, step));
  };
  co_await for_each_bounded(std::move(places), kSealsMax, seal_at);
  std::vector<oci::ImageLayer> layers;
  for (auto& layer : sealed) layers.push_back(*std::move(layer));
  co_return layers;
}

Task<oci::ImageLayer> Sealer::seal_one(store::LayerChain chain, std::size_t position, bool together,
                                       SealRequest request, solve::StepSink& step) {
  store::LayerId const id = chain[position];
  auto const lock = co_await store_.lock("seal " + std::to_string(id.value));
  store::Layer const layer = store_.get_layer(id);
  bool const clamp = request.mtime_max && position >= request.base_layers;
  // Alone, a layer that amends is not what its row says: that is about the two together.
  bool const alone = layer.amends && !together;
  PackMode const mode{.clamp = clamp, .keep = !clamp && !alone, .together = together};
  if (mode.keep) {
    if (const store::LayerBlob* blob = usable_blob(layer, request)) {
      COBUILD_ASSERT(layer.diff_id.has_value(), "a layer with a blob has a diff ID");
      if (!blob->present || !store_.has_blob(blob->digest)) {
        if (blob->sources.empty()) {
          co_return co_await pack(std::move(chain), position, request, mode, step);
        }
        if (!request.leave_remote) co_await fetcher_.fetch_blob(id, blob->digest, step);
      }
      co_return describe(layer, *blob, *layer.diff_id);
    }
  }
  if (mode.keep && layer.diff_id) {
    if (const store::LayerBlob* blob = repackable_blob(store_, layer)) {
      co_return co_await repack(id, *blob, request, step);
    }
  }
  co_return co_await pack(std::move(chain), position, request, mode, step);
}

Task<oci::ImageLayer> Sealer::repack(store::LayerId id, store::LayerBlob blob, SealRequest request,
                                     solve::StepSink& step) {
  Timings::Span const span(Phase::kSeal);
  if (!blob.present || !store_.has_blob(blob.digest)) {
    store::LayerChain one(1, id);
    co_await fetcher_.fetch_blobs(std::move(one), step);
  }
  store::Layer const layer = store_.get_layer(id);
  store::NewBlob file = co_await store_.new_blob();
  oci::SealOptions options;
  options.compression = request.compression;
  options.level = request.level;
  options.pool = &pool_;
  step.status(seal_status(layer), 0, 0, false);
  UniqueFd const packed = open_file(store_.blob_path(blob.digest), O_RDONLY);
  auto seal = [&options, from = packed.get(), to = file.fd()] {
    return oci::repack_layer(from, options, to);
  };
  oci::SealedLayer const sealed = co_await offload(pool_, seal);
  if (sealed.diff_id != *layer.diff_id) {
    throw Error(ErrorKind::kCorrupt, "blob " + blob.digest.to_string() + " has not the diff ID " +
                                         layer.diff_id->to_string() + " of its layer");
  }
  step.status(seal_status(layer), sealed.blob_bytes, sealed.blob_bytes, true);
  co_return co_await keep_blob(id, std::move(file), sealed, request, true);
}

Task<oci::ImageLayer> Sealer::keep_blob(store::LayerId id, store::NewBlob file,
                                        oci::SealedLayer sealed, SealRequest request, bool keep) {
  co_await store_.commit_blob(std::move(file), sealed.blob_digest, sealed.blob_bytes);
  auto const family = oci::TypeFamily::kOci;
  store::LayerBlob blob{sealed.blob_digest,
                        sealed.blob_bytes,
                        std::string(oci::layer_type(request.compression, family)),
                        {},
                        true};
  if (keep) co_await store_.set_sealed(id, sealed.diff_id, blob);
  co_return describe(store_.get_layer(id), blob, sealed.diff_id);
}

Task<oci::ImageLayer> Sealer::pack(store::LayerChain chain, std::size_t position,
                                   SealRequest request, PackMode mode, solve::StepSink& step) {
  Timings::Span const span(Phase::kSeal);
  store::LayerId const id = chain[position];
  store::Layer const layer = store_.get_layer(id);
  chain.resize(position + 1);
  auto lowers = co_await fetcher_.directories(std::move(chain), step);
  std::vector<std::filesystem::path> own(lowers.end() - (mode.together ? 2 : 1), lowers.end());
  lowers.resize(lowers.size() - own.size());
  store::NewBlob file = co_await store_.new_blob();
  oci::SealOptions options;
  options.compression = request.compression;
  options.level = request.level;
  options.pool = &pool_;
  if (mode.clamp) options.diff.mtime_max = request.mtime_max;
  step.status(seal_status(layer), 0, 0, false);
  int const fd = file.fd();
  auto seal = [&] {
    if (!mode.together) return oci::seal_layer(own.front(), lowers, options, fd);
    auto const view = snapshotter_.view(own);
    return oci::seal_layer(view->path(), lowers, options, fd);
  };
  oci::SealedLayer const sealed = co_await offload(pool_, seal);
  step.status(seal_status(layer), sealed.blob_bytes, sealed.blob_bytes, true);
  // A clamped form is for this export only: the layer in the store keeps its own times.
  co_return co_await keep_blob(id, std::move(file), sealed, request, mode.keep);
}

}  // namespace cobuild::ops
