#pragma once

/// The commands about images of this machine (\see ops::KeptImage). Each returns the exit status.

#include "cli/options.hpp"

namespace cobuild::cli {

/// \throws Error.
int run_images(const ImagesOptions& options);
/// \throws Error kNotFound when this machine has no such image.
int run_inspect(const InspectOptions& options);
/// \throws Error.
int run_pull(const PullOptions& options);
/// \throws Error kNotFound when this machine has no such image; "failed to push NAME: ...".
int run_push(const PushCommandOptions& options);

}  // namespace cobuild::cli
