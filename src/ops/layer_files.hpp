#pragma once

/// Makes the files of a ref be here: what is lazy until somebody reads it.

#include <filesystem>
#include <vector>

#include "core/async/task.hpp"
#include "core/solve/op.hpp"
#include "core/store/types.hpp"

namespace cobuild::ops {

/// The one way from a layer chain to directories. Lives on the loop; shared by all ops of a build.
class LayerFiles {
 public:
  virtual ~LayerFiles() = default;

  /// The snapshot directories of `chain`, lowest first, fit for Snapshotter::view and edit. Layers
  /// whose files are not here are fetched and unpacked first, all of them side by side; two callers
  /// (or processes) that want one layer share the work. `step` gets a status line for each download.
  /// \throws Error kNotFound, kUnavailable, kCorrupt, kDenied from fetching and unpacking.
  virtual Task<std::vector<std::filesystem::path>> directories(store::LayerChain chain,
                                                               solve::StepSink& step) = 0;
};

}  // namespace cobuild::ops
