#pragma once

/// The limits of RUN that --ulimit sets (F1.11.20).

#include <vector>

#include "ops/exec/container.hpp"

namespace cobuild::ops {

/// For those who may not raise their own limits. \throws Error kUnsupported for the first of `limits`
/// that is above ours, with what ours is; unknown names are left to the runtime.
void check_ulimits(const std::vector<Ulimit>& limits);

}  // namespace cobuild::ops
