#pragma once

/// `docker load` or `podman load`, fed with an archive (--load).
///
/// They are the user's programs: they run where the user is, not in the sandbox, in which an
/// ordinary user is root of a namespace that podman must not mistake for the machine's.

#include <sys/types.h>

#include <functional>
#include <string>

#include "core/sys/fs.hpp"

namespace cobuild::cli {

class ImageLoader {
 public:
  /// Forks the process that will start the program, once there is something to load. Call it before
  /// the sandbox is entered, while there are no threads. It ends when this object or this process
  /// does. \throws Error kNotFound when there is neither docker nor podman on $PATH, saying what to
  /// do without.
  [[nodiscard]] static ImageLoader start();

  /// "docker" or "podman".
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  /// Calls `write` with the descriptor that the archive goes to, and returns what the program said
  /// when it has taken it. Blocks; for a pool thread, once. \throws Error kUnavailable with the
  /// program's own words when it fails; what `write` throws while the program is well.
  std::string load(const std::function<void(int fd)>& write);

 private:
  ImageLoader(std::string name, UniqueFd socket)
      : name_(std::move(name)), socket_(std::move(socket)) {}
  std::string name_;
  UniqueFd socket_;  ///< To the program's stdin, and from its stdout and stderr.
};

}  // namespace cobuild::cli
