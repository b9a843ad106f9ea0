#pragma once

/// --cache-mounts-from and --cache-mounts-to: cache mounts in when a step wants one, and out after
/// the build.

#include "cli/options.hpp"
#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/progress/events.hpp"

namespace cobuild::cli {

/// What is wrong with the flags, found before anything is built.
/// \throws Error kInvalidInput, kUnsupported.
void check_cache_mounts(const BuildOptions& options);

/// Makes `workspace.mount_courier` when a flag asks for it. Connects to nothing.
void make_mount_courier(const BuildOptions& options, Workspace& workspace);

/// Sends what the build used to every place that was asked for, each as a step of its own. Failures
/// are warnings.
Task<void> save_cache_mounts(Workspace& workspace, progress::Sink& progress);

}  // namespace cobuild::cli
