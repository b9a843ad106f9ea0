#include "ops/early_sealer.hpp"

#include <boost/asio/post.hpp>

#include <algorithm>
#include <exception>
#include <string>

#include "core/async/context.hpp"
#include "core/async/runtime.hpp"
#include "core/base/error.hpp"
#include "ops/result_chain.hpp"

namespace cobuild::ops {
namespace {

/// Each seals one layer, alone. More would be of use only to builds that make layers faster than
/// they can be packed.
constexpr std::size_t kThreadsMax = 4;

/// Whether the layer would have to be fetched to be packed another way.
bool must_be_repacked(const store::Layer& layer, const SealRequest& request) {
  auto const is_from_elsewhere = [](const store::LayerBlob& blob) { return !blob.sources.empty(); };
  return request.force && std::ranges::any_of(layer.blobs, is_from_elsewhere);
}

std::string words_of(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace

EarlySealer::EarlySealer(asio::any_io_executor executor, store::Store& store, LayerFetcher& fetcher,
                         std::vector<SealRequest> requests, Sealed sealed, solve::StepSink& step)
    : executor_(executor),
      store_(store),
      fetcher_(fetcher),
      requests_(std::move(requests)),
      sealed_(std::move(sealed)),
      step_(step),
      thread_count_(std::clamp<std::size_t>(cpus_allowed() / 2, 1, kThreadsMax)),
      slots_(executor, thread_count_),
      group_(executor) {}

EarlySealer::~EarlySealer() = default;

void EarlySealer::add_target(const llb::Edge& edge) {
  for (const llb::Edge& part : result_chain(edge)) {
    exported_.emplace(part.vertex->digest, part.output);
  }
  if (edge.vertex) targets_.emplace(edge.vertex->digest, edge.output);
}

void EarlySealer::add_result(const llb::Edge& edge, const solve::Result& result) {
  Place const place{edge.vertex->digest, edge.output};
  if (is_closed_ || !exported_.contains(place)) return;
  targets_.erase(place);
  if (targets_.empty()) return;
  for (const Sealer::Place& layer : Sealer::places(store_, result.layers, {})) {
    if (!seen_.insert(result.layers[layer.position]).second) continue;
    auto const end = result.layers.begin() + static_cast<std::ptrdiff_t>(layer.position) + 1;
    group_.spawn(seal(store::LayerChain(result.layers.begin(), end), layer.own));
  }
}

void EarlySealer::close() {
  is_closed_ = true;
  pace_.hurry();
}

Task<void> EarlySealer::join() {
  close();
  co_await group_.join();
}

Task<void> EarlySealer::stop() {
  close();
  group_.cancel();
  co_await group_.join();
}

Task<void> EarlySealer::seal(store::LayerChain chain, std::size_t own) {
  co_await asio::post(executor_, asio::use_awaitable);  // The solver goes on first.
  store::LayerId const id = chain.back();
  std::exception_ptr failure;
  try {
    std::vector<oci::ImageLayer> layers = co_await seal_for_all(std::move(chain), own);
    for (std::size_t i = 0; i < layers.size(); ++i) co_await sealed_(id, i, layers[i]);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  if (is_cancellation(failure)) std::rethrow_exception(failure);
  step_.log(2, "left to the export: " + words_of(failure) + "\n");
}

Task<std::vector<oci::ImageLayer>> EarlySealer::seal_for_all(store::LayerChain chain,
                                                             std::size_t own) {
  std::vector<oci::ImageLayer> layers;
  auto const slot = co_await slots_.acquire();
  if (is_closed_) co_return layers;
  store::Layer const layer = store_.get_layer(chain.back());
  for (const SealRequest& request : requests_) {
    if (must_be_repacked(layer, request)) co_return layers;
    layers.push_back(co_await sealer().seal_layer(chain, own, request, step_));
  }
  co_return layers;
}

Sealer& EarlySealer::sealer() {
  if (!sealer_) {
    threads_ = std::make_unique<asio::thread_pool>(thread_count_);
    sealer_ = std::make_unique<Sealer>(*threads_, store_, fetcher_, &pace_);
  }
  return *sealer_;
}

}  // namespace cobuild::ops
