#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/base/go_time.hpp"

namespace cobuild::ops {

/// What a working tree of git's becomes on its way into a layer (F2.2.7).
struct CheckoutTreeOptions {
  bool keep_git_files = false;      ///< Else what ties submodules to their repositories goes.
  std::optional<Timestamp> mtime;   ///< Of everything; unset: as it is.
};

/// Gives files the modes 0644 and 0755 and directories 0755, whatever the umask is. Links stay as they
/// are, and are not followed. Blocking.
void normalise_checkout(const std::filesystem::path& root, const CheckoutTreeOptions& options);

/// Moves what is in the directory `subdir` of `from` into the directory `to`, on the same file system.
/// Blocking. \throws Error kNotFound when there is no such directory; kInvalidInput when the way to it
/// leads over something else.
void move_subdir(const std::filesystem::path& from, const std::string& subdir,
                 const std::filesystem::path& to);

}  // namespace cobuild::ops
