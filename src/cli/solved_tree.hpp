#pragma once

/// What a definition comes to, to be read before the build itself: remote contexts with their
/// Dockerfiles.

#include <cstddef>
#include <optional>
#include <string>

#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/llb/ops.pb.h"
#include "core/progress/events.hpp"
#include "core/store/types.hpp"

namespace cobuild::cli {

/// The files of a result. A value; `workspace` outlives it.
class SolvedTree {
 public:
  SolvedTree(Workspace& workspace, store::LayerChain layers)
      : workspace_(&workspace), layers_(std::move(layers)) {}

  /// At most `bytes_max` bytes of the regular file `path`, links followed within the tree; nullopt when
  /// there is none. A longer file is cut off, or refused with kInvalidInput.
  enum class Rest { kCutOff, kRefuse };
  Task<std::optional<std::string>> read(std::string path, std::size_t bytes_max, Rest rest,
                                        solve::StepSink& step);

 private:
  Workspace* workspace_;
  store::LayerChain layers_;
};

/// Solves `definition`, whose ops are sources and file ops. Its steps are shown as all others.
/// \throws Error what the steps throw.
Task<SolvedTree> solve_tree(pb::Definition definition, Workspace& workspace, progress::Sink& progress);

}  // namespace cobuild::cli
