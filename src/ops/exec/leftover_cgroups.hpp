#pragma once

/// Cgroups outlive their processes: a killed build leaves empty ones.

#include <sys/types.h>

#include <string>

namespace cobuild::ops {

/// How the containers of the build whose waiting parent is `owner` are named: prefix, owner, "-".
[[nodiscard]] std::string container_id_prefix(pid_t owner);

/// Removes the empty cgroups of builds whose waiting parent is gone, and those of `ended`, if not
/// 0, which is given a moment for its processes to be gone. To be called outside of our pid
/// namespace. Knows the default cgroup parent only. Never fails.
void remove_leftover_cgroups(pid_t ended = 0) noexcept;

}  // namespace cobuild::ops
