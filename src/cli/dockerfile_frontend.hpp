#pragma once

/// The Dockerfile frontend with its surroundings: reads the files, resolves the base images, and
/// reports what the pure frontend (dockerfile/frontend.hpp) finds.

#include <vector>

#include "cli/options.hpp"
#include "core/async/task.hpp"
#include "core/progress/events.hpp"
#include "dockerfile/frontend.hpp"
#include "ops/images.hpp"

namespace cobuild::cli {

/// What a Dockerfile came to: one for each platform, in the order they were asked for.
struct FrontendResult {
  std::vector<dockerfile::Lowered> targets;
  bool is_multi_platform = false;  ///< The result is an index, even of one.
  dockerfile::IgnoreFile ignore;  ///< Of the context: to explain a missing COPY source.
};

/// Loads, parses and lowers the Dockerfile that `options` name. Progress shows the steps that BuildKit
/// shows; warnings go to the first of them. All parse errors of the file are reported at once.
/// \throws Error kInvalidInput, kNotFound, kUnsupported; and what resolving an image throws.
Task<FrontendResult> run_dockerfile_frontend(const BuildOptions& options, pb::Platform build_platform,
                                             ops::Images& images, progress::Sink& progress);

}  // namespace cobuild::cli
