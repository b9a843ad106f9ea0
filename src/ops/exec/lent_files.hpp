#pragma once

/// Files that exist for one run of a container: secrets, and the sockets of agents.

#include <filesystem>
#include <memory>
#include <vector>

#include "core/async/task_group.hpp"
#include "ops/exec/container.hpp"

namespace cobuild::ops {

/// A socket that listens, and who serves it.
struct LentSocket {
  UniqueFd listener;
  ConnectionHandler serve;
};

/// Makes the files of `container`'s mounts of kinds kSecret and kSocket in `directory`, which exists,
/// and turns the mounts into binds of them. The container's secrets are then there only. Returns the
/// sockets, not yet served. Blocking.
/// \throws Error kUnsupported when `directory` is on a disk and there are secrets, also in secret_env:
/// they would be written to it; kInvalidInput for owners that the user namespace lacks.
[[nodiscard]] std::vector<LentSocket> make_lent_files(ContainerSpec& container,
                                                      const std::filesystem::path& directory);

/// Serves `sockets` in `group` until that is cancelled.
void serve_sockets(std::vector<LentSocket> sockets, asio::any_io_executor executor, TaskGroup& group);

}  // namespace cobuild::ops
