#pragma once

/// Main contexts that are repositories or downloads (F1.10.2, F1.10.7, F1.10.8, F1.10.11), and Dockerfiles
/// that are downloads.

#include <string>

#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/progress/events.hpp"
#include "dockerfile/frontend.hpp"

namespace cobuild::cli {

/// Finds out what a context by HTTP is: an archive, or one file, which then is the Dockerfile. Does
/// nothing for other contexts. \throws Error what downloading throws.
Task<void> settle_remote_context(dockerfile::ConvertOptions& convert, Workspace& workspace,
                                 progress::Sink& progress);

/// The Dockerfile in the remote context: convert.filename, or the same in lower case for "Dockerfile".
/// \throws Error kNotFound when it has none, and what getting the context throws.
Task<std::string> read_remote_dockerfile(const dockerfile::ConvertOptions& convert,
                                         Workspace& workspace, progress::Sink& progress,
                                         solve::StepSink& step);

/// The Dockerfile at `url`. A step of its own. \throws Error kInvalidInput when it is too long, and what
/// downloading throws.
Task<std::string> download_dockerfile(std::string url, Workspace& workspace, progress::Sink& progress);

}  // namespace cobuild::cli
