#pragma once

/// Mounts of this process: overlays of many layers, and a directory that vanishes with us.

#include <cstddef>
#include <filesystem>
#include <optional>
#include <vector>

#include "core/sys/fs.hpp"

namespace cobuild {

/// The most lower directories that one overlay takes (the kernel's OVL_MAX_STACK, less one for our
/// use of it as a lower of another overlay).
inline constexpr std::size_t kOverlayLowersMax = 499;

struct OverlayOptions {
  std::vector<std::filesystem::path> lowers;   ///< Lowest first; 1 to kOverlayLowersMax.
  std::optional<std::filesystem::path> upper;  ///< Unset: read-only, and at least 2 lowers.
  std::filesystem::path work;                  ///< Fresh and empty, beside `upper`; only with it.
  bool old_call = false;                       ///< Mount as on Linux before 6.8; for tests.
};

/// Mounts an overlay on `target`. Attributes are of the user.overlay kind, also for root. Nothing
/// is synced to disk at unmount (`volatile`): after a power cut the upper directory is worthless,
/// after a crash of this process it is not. Paths may be long and hold any character. Blocking.
/// \throws Error with the kernel's reason.
[[nodiscard]] Mount mount_overlay(const OverlayOptions& options,
                                  const std::filesystem::path& target);

/// A private directory for files that need not outlive the process. Where this process may mount,
/// it is a tmpfs; in a mount namespace of our own it is then gone, with all mounts in it, even
/// after kill -9, and all that may stay behind is an empty directory, which the next process
/// removes.
class ScratchDirectory {
 public:
  /// Makes it below `parent`, which is made too when missing, and removes what dead processes left
  /// there. \throws Error when `parent` cannot be written.
  [[nodiscard]] static ScratchDirectory create(const std::filesystem::path& parent);

  /// The same, on the file system of `parent` always: for large files, and for overlay's upper.
  [[nodiscard]] static ScratchDirectory create_on_disk(const std::filesystem::path& parent);

  ScratchDirectory(ScratchDirectory&& other) noexcept;
  ScratchDirectory& operator=(ScratchDirectory&& other) noexcept;
  ~ScratchDirectory();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  ScratchDirectory(std::filesystem::path path, UniqueFd lock)
      : path_(std::move(path)), lock_(std::move(lock)) {}
  std::filesystem::path path_;  ///< Empty once moved from.
  UniqueFd lock_;               ///< The directory itself, locked: how others see that we live.
  bool mounted_ = false;
};

}  // namespace cobuild
