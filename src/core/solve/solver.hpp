#pragma once

/// The solver: decides which vertices must run, runs them side by side, and records what they made.
///
/// One memoised coroutine for each edge (DESIGN section 4): probe by definition; look closer by
/// content; run. Two edges that turn out to have the same key are solved once (F2.6.21). The first
/// real error wins; everything else is cancelled and joined before solve() throws.

#include <boost/asio/any_io_executor.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/llb/definition.hpp"
#include "core/progress/events.hpp"
#include "core/solve/cache_record.hpp"
#include "core/solve/explanation.hpp"
#include "core/solve/op.hpp"
#include "core/store/key_index.hpp"
#include "core/store/store.hpp"

namespace cobuild::solve {

class Solver {
 public:
  struct Options {
    std::size_t parallelism_max =
        0;  ///< Slots for exec, file and source ops; 0: unlimited (F8.6.2).
    /// Looked through along with the store. Nothing of a layer is fetched before it is read.
    std::vector<ImportedCache> imports = {};
    /// Told of each edge as soon as it has its result, found or made; must not throw. May be empty.
    std::function<void(const llb::Edge&, const Result&)> on_result = {};
    /// Told of each step that runs why it does, when it begins; must not throw. May be empty.
    std::function<void(const Explanation&, StepSink&)> on_explained = {};
    std::string origin = {};  ///< \see StepDescription::origin.
    /// Whether it has turned out that a layer's bytes cannot be had, or are others than they should
    /// be. Then a result with it that was found is made, as if it had not been. May be empty: never.
    std::function<bool(store::LayerId)> is_lost = {};
  };

  /// Everything passed by reference must outlive the solver.
  Solver(asio::any_io_executor executor, store::Store& store, OpResolver& ops,
         progress::Sink& progress, Options options);
  ~Solver();

  /// Makes the results of `edges`. Vertices solved by an earlier call on the same solver are not
  /// solved again, but for those whose results were found and have lost layers since. Branches that
  /// no edge needs are never touched.
  /// \throws the first real Error, with the failed vertex's source span in a frame.
  Task<std::vector<Result>> solve(std::vector<llb::Edge> edges);

  /// Takes over what imported caches have of the vertices solved so far, as if it had been needed:
  /// for exporting it again. No bytes are fetched.
  Task<void> adopt_imports();

  /// What became of the steps so far, also after solve() has failed, and why those ran that did:
  /// inputs before their users, without local directories and what was not come to. Nothing is run or
  /// recorded.
  Task<std::vector<StepOutcome>> outcomes();

  /// The keys under which everything solved so far was found or recorded, deterministic order
  /// (F5.3.6). Those found in an import have a result only if it was taken.
  [[nodiscard]] std::vector<KeyRecord> key_records() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cobuild::solve
