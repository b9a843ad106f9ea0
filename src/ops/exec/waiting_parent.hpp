#pragma once

/// The half of the sandbox that stays outside and waits.

namespace cobuild::ops {

/// Forks. The child returns true, in a process group of its own, tied to the parent's life by
/// SIGKILL. The parent does not return: it forwards signals, stops and continues together with its
/// terminal, and exits as the child did. False: fork failed (errno is set), and this is still the
/// only process. No thread may exist.
[[nodiscard]] bool fork_with_waiting_parent();

}  // namespace cobuild::ops
