#pragma once

/// A built image to registries.

#include <string>
#include <vector>

#include "cli/push_options.hpp"
#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/solve/op.hpp"
#include "core/store/types.hpp"
#include "oci/export_image.hpp"

namespace cobuild::cli {

/// Pushes `image`, made of `chains`, under each of `names`, one after the other. A layer that is
/// not here is fetched only when the registry neither has it nor can take it from a repository of
/// its own. Shows on `step` what it does. What is passed by reference outlives the call.
/// \throws Error "failed to push NAME: ...".
Task<void> push_names(std::vector<std::string> names, PushOptions options,
                      const oci::ExportImage& image, std::vector<store::LayerChain> chains,
                      Workspace& workspace, solve::StepSink& step);

}  // namespace cobuild::cli
