#pragma once

#include "cli/options.hpp"

namespace cobuild::cli {

/// `cobuild build`: resolves, solves, exports, and returns the exit status. Progress goes to
/// stderr; a result that is written to stdout is the only thing there.
/// \throws Error for main to report, after the display has been closed.
int run_build(BuildOptions options);

/// `cobuild debug dockerfile2llb`: writes the serialized pb::Definition to stdout; nothing is run.
int run_dockerfile_to_llb(DockerfileToLlbOptions options);

}  // namespace cobuild::cli
