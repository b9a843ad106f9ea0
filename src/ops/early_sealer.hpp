#pragma once

/// Layers sealed while later steps still run (DESIGN section 7).
///
/// It is told of every result that the solver comes to, takes the layers of those that an image
/// will be made of, and seals them on threads of its own, which take only what CPU the steps leave.
/// What it has made is found by the export in the store, as if an earlier build had made it. What
/// it fails at is left to the export, which fails again and says why.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/async/semaphore.hpp"
#include "core/async/task.hpp"
#include "core/async/task_group.hpp"
#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"
#include "core/store/store.hpp"
#include "ops/background_pace.hpp"
#include "ops/layer_fetcher.hpp"
#include "ops/sealer.hpp"

namespace cobuild::ops {

/// Lives on the loop. join() or stop() must have returned before it goes.
class EarlySealer {
 public:
  /// Awaited, beside the sealing of further layers, with a layer that is sealed, and the index of
  /// the request that says how.
  using Sealed = std::function<Task<void>(store::LayerId, std::size_t, oci::ImageLayer)>;

  /// Seals each layer once for each of `requests`, which must neither clamp times nor squash. Shows
  /// on `step` what it does. What is passed by reference must outlive this.
  EarlySealer(asio::any_io_executor executor, store::Store& store, LayerFetcher& fetcher,
              std::vector<SealRequest> requests, Sealed sealed, solve::StepSink& step);
  ~EarlySealer();

  /// An image will be made of the result of `edge`. Before anything is solved.
  void add_target(const llb::Edge& edge);

  /// The solver has come to a result. Of targets, those of the last one are left alone: with it,
  /// the export begins.
  void add_result(const llb::Edge& edge, const solve::Result& result);

  /// Nothing new is begun; what has been is now done as fast as can be.
  void close();
  /// Waits for what has been begun.
  Task<void> join();
  /// close, and gives up what has been begun, within a piece of a layer. Waits for that.
  Task<void> stop();

 private:
  using Place = std::pair<VertexDigest, int>;

  Task<void> seal(store::LayerChain chain, std::size_t own);
  Task<std::vector<oci::ImageLayer>> seal_for_all(store::LayerChain chain, std::size_t own);
  Sealer& sealer();

  asio::any_io_executor executor_;
  store::Store& store_;
  LayerFetcher& fetcher_;
  std::vector<SealRequest> requests_;
  Sealed sealed_;
  solve::StepSink& step_;
  BackgroundPace pace_;
  std::size_t thread_count_;
  std::unique_ptr<asio::thread_pool> threads_;  ///< Made when first needed,
  std::unique_ptr<Sealer> sealer_;              ///< as this, which works there.
  Semaphore slots_;                             ///< One for each thread.
  TaskGroup group_;
  std::set<Place> exported_;  ///< Edges whose layers an image will have,
  std::set<Place> targets_;   ///< and those that are images, until they have a result.
  std::set<store::LayerId> seen_;
  bool is_closed_ = false;
};

}  // namespace cobuild::ops
