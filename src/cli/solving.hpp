#pragma once

/// The graphs of a build, and the solver that makes what they tell of.

#include <vector>

#include "cli/exporting.hpp"
#include "cli/options.hpp"
#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/llb/definition.hpp"
#include "core/progress/events.hpp"
#include "core/solve/cache_record.hpp"
#include "core/solve/solver.hpp"
#include "ops/local_source.hpp"
#include "ops/resolver.hpp"

namespace cobuild::cli {

/// Lives until its results have been exported: one that turns out to be lost then is made again.
class Solving {
 public:
  /// `definitions`: one for each target. What is passed by reference must outlive this.
  /// \throws Error kInvalidInput, kDenied for what cannot be loaded or is not allowed.
  Solving(const std::vector<pb::Definition>& definitions, std::vector<solve::ImportedCache> imports,
          const BuildOptions& options, Workspace& workspace, progress::Sink& progress);

  /// Steps that ignore the cache begin with empty cache mounts, too (F1.11.14).
  Task<void> clear_cache_mounts();

  /// Builds all targets at once: what they have in common is built once. `result` gets their
  /// layers, and the keys if a cache is to be exported. Again: makes what has lost layers since.
  /// Returns whether `result` is another one than before. \throws Error.
  Task<bool> solve(BuiltResult& result);

  /// Whether layers of `result` turned out to be lost.
  [[nodiscard]] bool has_lost(const BuiltResult& result) const;

 private:
  const BuildOptions& options_;
  Workspace& workspace_;
  progress::Sink& progress_;
  ops::LocalContexts contexts_;
  ops::Resolver resolver_;
  std::vector<llb::Graph> graphs_;
  std::vector<llb::Edge> edges_;  ///< The results that are not scratch.
  solve::Solver solver_;
};

}  // namespace cobuild::cli
