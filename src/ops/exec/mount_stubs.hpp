#pragma once

/// Mount points that a container adds to its root, and that must not stay (F8.1.20, F10.54).

#include <filesystem>
#include <string>
#include <vector>

#include "ops/exec/container.hpp"

namespace cobuild::ops {

/// Where `path` leads inside `root`, all links followed as if `root` were "/", whether or not its
/// end exists. For trees in which nobody else is at work. \throws Error kInvalidInput on a loop of
/// links.
[[nodiscard]] std::filesystem::path resolve_inside(const std::filesystem::path& root,
                                                   const std::filesystem::path& path);

/// What was missing before the run.
class MountStubs {
 public:
  /// Looks at `container.rootfs` before it is used. Blocking.
  explicit MountStubs(const ContainerSpec& container);

  /// Removes what was missing then and is now an empty file or directory; the times of the
  /// directory that held it stay as they are. What cannot be removed stays. Blocking.
  void remove() const;

 private:
  std::filesystem::path root_;
  std::vector<std::filesystem::path> missing_;  ///< Resolved; children before parents.
};

/// Makes the directories that `container` mounts something on, and /proc, /dev and /sys, where they
/// are missing: 0755 and root's, whatever the runtime would make of it. Blocking.
void make_mount_points(const ContainerSpec& container);

/// Gives the tmpfs mounts of `container` the modes that they have with runc, whatever the runtime: that
/// of the directory beneath, 1777 where there is none. To be called before make_mount_points. Blocking.
void set_tmpfs_modes(ContainerSpec& container);

/// Makes the working directory of `container`, and what is missing above it, 0755 and the user's
/// (F2.3.1). Blocking. \throws Error when it cannot be made.
void make_working_directory(const ContainerSpec& container);

}  // namespace cobuild::ops
