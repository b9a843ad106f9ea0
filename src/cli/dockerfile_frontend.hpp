#pragma once

/// The Dockerfile frontend with its surroundings: reads the files, resolves the base images, and
/// reports what the pure frontend (dockerfile/frontend.hpp) finds.

#include <cstddef>
#include <optional>
#include <vector>

#include "cli/options.hpp"
#include "cli/request_answers.hpp"
#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/progress/events.hpp"
#include "dockerfile/frontend.hpp"

namespace cobuild::cli {

/// What a Dockerfile came to: one for each platform, in the order they were asked for.
struct FrontendResult {
  std::vector<dockerfile::Lowered> targets;
  bool is_multi_platform = false;  ///< The result is an index, even of one.
  dockerfile::IgnoreFile ignore;  ///< Of the context: to explain a missing COPY source.
};

/// Loads, parses and lowers the Dockerfile that `options` name, from a remote context too. Progress
/// shows the steps that BuildKit shows; warnings go to the first of them. All parse errors of the file
/// are reported at once.
/// \throws Error kInvalidInput, kNotFound, kUnsupported; and what resolving an image throws.
Task<FrontendResult> run_dockerfile_frontend(const BuildOptions& options, pb::Platform build_platform,
                                             Workspace& workspace, progress::Sink& progress);

/// What answers the option "requestid" (F1.13).
struct RequestResult {
  Answer answer;
  std::size_t warnings = 0;    ///< Of the linter.
  std::optional<Error> error;  ///< Why the linter could not look at everything.
};

/// Answers a question about the Dockerfile that `options` name. Resolves base images where the answer
/// depends on them; builds nothing.
/// \throws Error kInvalidInput for an unknown request; and as run_dockerfile_frontend() does.
Task<RequestResult> run_dockerfile_request(const BuildOptions& options, pb::Platform build_platform,
                                           Workspace& workspace, progress::Sink& progress);

}  // namespace cobuild::cli
