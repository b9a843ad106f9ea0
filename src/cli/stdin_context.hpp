#pragma once

/// `cobuild build -`: what is piped in is an archive with the context, or a Dockerfile.

#include "cli/options.hpp"
#include "cli/workspace.hpp"
#include "core/async/task.hpp"

namespace cobuild::cli {

/// The URL that stands for an archive on standard input. Nobody connects to it.
inline constexpr const char* kUploadUrl = "http://stdin.invalid/context";

/// Reads standard input to its end if options.context_from_stdin, and sets options to what it is. An
/// archive goes to a file in the workspace, and then is a context like those by HTTP: uncompressed or
/// packed by gzip, bzip2 or xz. Cancellable. \throws Error kInvalidInput when there is nothing, or a
/// Dockerfile where --file names another.
Task<void> take_stdin_context(BuildOptions& options, Workspace& workspace);

}  // namespace cobuild::cli
