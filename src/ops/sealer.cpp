#include "ops/sealer.hpp"

#include <fcntl.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/sys/fs.hpp"
#include "oci/layer_diff.hpp"
#include "oci/spec/media_type.hpp"
#include "ops/layer_forms.hpp"
#include "ops/made_on_scratch.hpp"
#include "ops/stoppable.hpp"

namespace cobuild::ops {
namespace {

/// Layers sealed at once. Each compresses with all of the pool's threads, so this only keeps them
/// busy while one layer is at its end.
constexpr std::size_t kSealsMax = 4;

/// The blob to take as it is, or null when the layer must be packed. Layers from a registry keep
/// the form that they have there, whatever other exports have made of them; our own are packed as
/// asked for.
const store::LayerBlob* usable_blob(const store::Layer& layer, const SealRequest& request) {
  const store::LayerBlob* wanted = nullptr;
  const store::LayerBlob* pulled = nullptr;
  for (const store::LayerBlob& blob : layer.blobs) {
    bool const is_wanted =
        !request.stargz && oci::compression_of(blob.media_type) == request.compression;
    if (is_wanted && wanted == nullptr) wanted = &blob;
    if (!blob.sources.empty() && (is_wanted || pulled == nullptr)) pulled = &blob;
  }
  return pulled != nullptr && !request.force ? pulled : wanted;
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

/// Of layers whose times were clamped (F4.5.6): the time, in seconds.
constexpr const char* kRewritten = "buildkit/rewritten-timestamp";

std::int64_t seconds_of(Timestamp time) {
  return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count();
}

oci::ImageLayer image_layer(const store::Layer& layer, const LayerForm& form) {
  return oci::ImageLayer{.diff_id = form.diff_id,
                         .blob_digest = form.blob,
                         .blob_bytes = form.bytes,
                         .media_type = form.media_type,
                         .urls = form.urls,
                         .annotations = form.annotations,
                         .created_at = layer.created_at,
                         .description = layer.description};
}

Task<void> keep(std::optional<oci::ImageLayer>& sealed, Task<oci::ImageLayer> sealing) {
  sealed.emplace(co_await std::move(sealing));
}

/// Whether the layer at `position` and the one below are one layer of the image.
bool amends_the_one_below(store::Store& store, const store::LayerChain& chain,
                          std::size_t position) {
  return position > 0 && store.get_layer(chain[position]).amends == chain[position - 1];
}

/// Whether the `own` highest layers of `chain` were made on nothing, one by one: what they came to
/// lie on does not matter then.
bool need_nothing_below(store::Store& store, const store::LayerChain& chain, std::size_t own) {
  std::size_t const first = chain.size() - own;
  for (std::size_t i = first; i < chain.size(); ++i) {
    bool const amends = i > first && amends_the_one_below(store, chain, i);
    if (!amends && !is_made_on_scratch(store, chain[i])) return false;
  }
  return true;
}

/// All that the blob depends on, beside the layer itself.
std::string form_name(const SealRequest& request, const store::LayerChain& chain, std::size_t own,
                      bool clamp) {
  std::string name(request.stargz ? "estargz" : oci::to_string(request.compression));
  if (request.level) name += " level=" + std::to_string(*request.level);
  if (clamp) {
    name += " rewritten=" + std::to_string(request.mtime_max->time_since_epoch().count());
  }
  std::string whole;
  for (store::LayerId const id : chain) whole += std::to_string(id.value) + " ";
  return name + " own=" + std::to_string(own) + " of=" + Digest::of(std::string_view(whole)).hex();
}

std::string seal_status(const store::Layer& layer) {
  return "sealing layer: " + layer.description;
}

}  // namespace

Sealer::Sealer(asio::thread_pool& pool, store::Store& store, LayerFetcher& fetcher,
               BackgroundPace* pace)
    : pool_(pool), store_(store), fetcher_(fetcher), pace_(pace) {}

/// Lets a watcher see a blob as it grows.
class Sealer::Watch {
 public:
  /// Without a `watcher` nothing happens.
  Watch(PackWatcher* watcher, asio::any_io_executor executor, const store::NewBlob& file,
        const store::Layer& layer) {
    if (watcher == nullptr) return;
    blob_ = std::make_shared<GrowingBlob>(std::move(executor), open_file(file.path(), O_RDONLY),
                                          layer.description);
    watcher->begun(blob_);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() {
    if (blob_ && !blob_->is_over()) blob_->end(std::nullopt);
  }

  /// All of it has been written.
  void done(const BlobDigest& digest) {
    if (blob_) blob_->end(digest);
  }

 private:
  std::shared_ptr<GrowingBlob> blob_;
};

Task<std::vector<oci::ImageLayer>> Sealer::seal(store::LayerChain chain, SealRequest request,
                                                solve::StepSink& step, PackWatcher* watcher) {
  std::vector<Place> found = places(store_, chain, request);
  std::vector<std::optional<oci::ImageLayer>> sealed(found.size());
  auto seal_at = [&](Place place) {
    auto const end = chain.begin() + static_cast<std::ptrdiff_t>(place.position) + 1;
    return keep(sealed[place.index],
                seal_layer(store::LayerChain(chain.begin(), end), place.own, request, step, watcher));
  };
  co_await for_each_bounded(std::move(found), kSealsMax, seal_at);
  std::vector<oci::ImageLayer> layers;
  for (auto& layer : sealed) layers.push_back(*std::move(layer));
  co_return layers;
}

std::vector<Sealer::Place> Sealer::places(store::Store& store, const store::LayerChain& chain,
                                          const SealRequest& request) {
  std::vector<Place> places;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    std::size_t own = 1;
    bool const squashed = request.squash_above && i > *request.squash_above;
    if (!places.empty() && (squashed || amends_the_one_below(store, chain, i))) {
      own += places.back().own;
      places.pop_back();
    }
    places.push_back({.position = i, .index = places.size(), .own = own});
  }
  return places;
}

oci::ImageLayer Sealer::describe(const store::Layer& layer, const store::LayerBlob& blob) {
  LayerForm form{.diff_id = layer.diff_id.value(),
                 .blob = blob.digest,
                 .bytes = blob.size,
                 .media_type = blob.media_type};
  if (auto const said = get_layer_form(store_, layer.id, described_form(blob.digest))) {
    form.urls = said->urls;
    form.annotations = said->annotations;
  }
  return image_layer(layer, form);
}

Task<std::optional<oci::ImageLayer>> Sealer::take(store::Layer layer, SealRequest request,
                                                  solve::StepSink& step) {
  const store::LayerBlob* const blob = usable_blob(layer, request);
  if (blob == nullptr) co_return std::nullopt;
  COBUILD_ASSERT(layer.diff_id.has_value(), "a layer with a blob has a diff ID");
  if (!blob->present || !store_.has_blob(blob->digest)) {
    if (blob->sources.empty()) co_return std::nullopt;
    if (!request.leave_remote) co_await fetcher_.fetch_blob(layer.id, blob->digest, step);
  }
  co_return describe(layer, *blob);
}

Task<oci::ImageLayer> Sealer::seal_layer(store::LayerChain chain, std::size_t own,
                                         SealRequest request, solve::StepSink& step,
                                         PackWatcher* watcher) {
  store::LayerId const id = chain.back();
  auto const lock = co_await store_.lock("seal " + std::to_string(id.value));
  store::Layer const layer = store_.get_layer(id);
  // Two of which one amends the other are what the row of that one says. Alone it is not that.
  bool const is_row =
      layer.amends ? own == 2 && chain[chain.size() - 2] == *layer.amends : own == 1;
  PackMode mode;
  mode.own = own;
  mode.watcher = watcher;
  mode.clamp = request.mtime_max && chain.size() > request.base_layers;
  bool const is_same_tar = is_row && !mode.clamp;
  if (is_same_tar) {
    if (auto taken = co_await take(layer, request, step)) co_return *std::move(taken);
  }
  mode.keep = is_same_tar && !request.stargz;
  if (!mode.keep) {
    mode.form = form_name(request, chain, own, mode.clamp);
    auto const form = get_layer_form(store_, id, mode.form);
    if (form && store_.has_blob(form->blob)) co_return image_layer(layer, *form);
  }
  if (is_same_tar && layer.diff_id) {
    if (const store::LayerBlob* blob = repackable_blob(store_, layer)) {
      co_return co_await repack(id, *blob, request, std::move(mode), step);
    }
  }
  co_return co_await pack(std::move(chain), request, std::move(mode), step);
}

Task<oci::ImageLayer> Sealer::repack(store::LayerId id, store::LayerBlob blob, SealRequest request,
                                     PackMode mode, solve::StepSink& step) {
  Timings::Span const span(Phase::kSeal);
  if (!blob.present || !store_.has_blob(blob.digest)) {
    store::LayerChain one(1, id);
    co_await fetcher_.fetch_blobs(std::move(one), step);
  }
  store::Layer const layer = store_.get_layer(id);
  store::NewBlob file = co_await store_.new_blob();
  Watch watch(mode.watcher, co_await asio::this_coro::executor, file, layer);
  step.status(seal_status(layer), 0, 0, false);
  UniqueFd const packed = open_file(store_.blob_path(blob.digest), O_RDONLY);
  auto seal = [from = packed.get(), to = file.fd()](const oci::SealOptions& options) {
    return oci::repack_layer(from, options, to);
  };
  oci::SealedLayer sealed = co_await run(request, seal);
  if (sealed.source_diff_id != *layer.diff_id) {
    throw Error(ErrorKind::kCorrupt, "blob " + blob.digest.to_string() + " has not the diff ID " +
                                         layer.diff_id->to_string() + " of its layer");
  }
  watch.done(sealed.blob_digest);
  step.status(seal_status(layer), sealed.blob_bytes, sealed.blob_bytes, true);
  co_return co_await keep_blob(id, std::move(file), std::move(sealed), request, std::move(mode));
}

Task<oci::ImageLayer> Sealer::keep_blob(store::LayerId id, store::NewBlob file,
                                        oci::SealedLayer sealed, SealRequest request,
                                        PackMode mode) {
  co_await store_.commit_blob(std::move(file), sealed.blob_digest, sealed.blob_bytes);
  LayerForm form{
      .diff_id = sealed.diff_id,
      .blob = sealed.blob_digest,
      .bytes = sealed.blob_bytes,
      .media_type = std::string(oci::layer_type(request.compression, oci::TypeFamily::kOci)),
      .annotations = std::move(sealed.annotations)};
  if (mode.clamp) form.annotations[kRewritten] = std::to_string(seconds_of(*request.mtime_max));
  if (mode.keep) {
    store::LayerBlob blob{form.blob, form.bytes, form.media_type, {}, true};
    co_await store_.set_sealed(id, form.diff_id, std::move(blob));
  } else {
    put_layer_form(store_, id, mode.form, form);
  }
  co_return image_layer(store_.get_layer(id), form);
}

Task<oci::SealedLayer> Sealer::run(SealRequest request,
                                   std::function<oci::SealedLayer(const oci::SealOptions&)> pack) {
  auto work = [&](const std::atomic<bool>& stop) {
    std::optional<PacedWork> paced;
    if (pace_ != nullptr) paced.emplace(*pace_);
    oci::SealOptions options;
    options.compression = request.compression;
    options.stargz = request.stargz;
    options.level = request.level;
    options.pool = pace_ != nullptr ? nullptr : &pool_;
    options.after_piece = [&stop, &paced] {
      if (stop.load(std::memory_order_relaxed)) {
        throw Error(ErrorKind::kCancelled, "sealing a layer");
      }
      if (paced) paced->after_piece();
    };
    return pack(options);
  };
  co_return co_await offload_stoppable(pool_, work);
}

Task<oci::ImageLayer> Sealer::pack(store::LayerChain chain, SealRequest request, PackMode mode,
                                   solve::StepSink& step) {
  Timings::Span const span(Phase::kSeal);
  store::LayerId const id = chain.back();
  store::Layer const layer = store_.get_layer(id);
  if (need_nothing_below(store_, chain, mode.own)) {
    chain.erase(chain.begin(), chain.end() - static_cast<std::ptrdiff_t>(mode.own));
  }
  auto lowers = co_await fetcher_.directories(std::move(chain), step);
  std::vector<std::filesystem::path> const own(lowers.end() - static_cast<std::ptrdiff_t>(mode.own),
                                               lowers.end());
  lowers.resize(lowers.size() - own.size());
  store::NewBlob file = co_await store_.new_blob();
  Watch watch(mode.watcher, co_await asio::this_coro::executor, file, layer);
  step.status(seal_status(layer), 0, 0, false);
  auto seal = [&, fd = file.fd()](oci::SealOptions options) {
    if (mode.clamp) options.diff.mtime_max = request.mtime_max;
    return oci::seal_layer(own, lowers, options, fd);
  };
  oci::SealedLayer sealed = co_await run(request, seal);
  watch.done(sealed.blob_digest);
  step.status(seal_status(layer), sealed.blob_bytes, sealed.blob_bytes, true);
  co_return co_await keep_blob(id, std::move(file), std::move(sealed), request, std::move(mode));
}

}  // namespace cobuild::ops
