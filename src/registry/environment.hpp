#pragma once

#include "registry/options.hpp"

namespace cobuild::registry {

/// `options` with what is missing in its environment taken from this process: its clock, its timers
/// and its variables.
[[nodiscard]] Options with_real_environment(Options options);

}  // namespace cobuild::registry
