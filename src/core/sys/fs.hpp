#pragma once

/// Owners of kernel things: a descriptor, a temporary directory, a mount.
///
/// All three follow one pattern. A factory acquires and throws on failure; there is no empty
/// constructor and no two-step init. The type is move-only. A named member (close, remove, unmount)
/// gives the thing back and throws if that fails; call it where failure matters. The destructor
/// gives it back too if nobody has, and cannot report: it is for the paths on which something else
/// has failed already.

#include <filesystem>
#include <string_view>
#include <utility>

namespace cobuild {

class UniqueFd {
 public:
  UniqueFd() noexcept = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}  ///< Takes ownership of `fd`.
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, kNone)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  ~UniqueFd();

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ != kNone; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, kNone); }

  /// Closes now. Call this on files that were written: a full disk may be reported only here.
  void close();

 private:
  static constexpr int kNone = -1;
  int fd_ = kNone;
};

/// open(2) with O_CLOEXEC always set, so that no descriptor leaks into a build container.
[[nodiscard]] UniqueFd open_file(const std::filesystem::path& path, int flags, unsigned mode = 0);

class TempDir {
 public:
  /// Makes `parent`/`prefix`XXXXXX. Take `parent` on the same file system as where the contents
  /// will end up, so that committing is a rename.
  [[nodiscard]] static TempDir create(const std::filesystem::path& parent, std::string_view prefix);

  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&& other) noexcept;
  ~TempDir();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  /// Renames the directory to `target`, after which it is temporary no more.
  void commit_as(const std::filesystem::path& target);
  void remove();

 private:
  explicit TempDir(std::filesystem::path path) noexcept : path_(std::move(path)) {}
  std::filesystem::path path_;  ///< Empty once removed, committed or moved from.
};

class Mount {
 public:
  [[nodiscard]] static Mount bind(const std::filesystem::path& source,
                                  const std::filesystem::path& target);

  /// Owns what somebody has just mounted on `target`.
  [[nodiscard]] static Mount adopt(std::filesystem::path target) noexcept {
    return Mount(std::move(target));
  }

  Mount(Mount&& other) noexcept : target_(std::exchange(other.target_, {})) {}
  Mount& operator=(Mount&& other) noexcept;
  ~Mount();

  [[nodiscard]] const std::filesystem::path& target() const noexcept { return target_; }

  /// Unmounts now; fails if it stays busy for some seconds. Blocking.
  void unmount();

 private:
  explicit Mount(std::filesystem::path target) noexcept : target_(std::move(target)) {}
  std::filesystem::path target_;  ///< Empty once unmounted or moved from.
};

}  // namespace cobuild
