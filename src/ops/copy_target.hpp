#pragma once

/// A root file system that is being changed: every path stays inside it (F2.4.11), and messages
/// name paths as seen from it (F2.4.12). Blocking; the tree is changed by nobody else meanwhile.

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::ops {

struct Owner {
  uid_t uid = 0;
  gid_t gid = 0;
  friend bool operator==(const Owner&, const Owner&) = default;
};

/// What new files get; absent: what they get by themselves.
struct NewFileAttributes {
  std::optional<Owner> owner;
  std::optional<timespec> time;  ///< For access and modification both.
};

/// "open /x: no such file or directory", in the words of BuildKit's messages.
[[nodiscard]] Error path_error(std::string_view call, std::string_view path, int errno_value);

class TargetRoot {
 public:
  /// A name in an open directory: what the *at calls take. "." in the root for the root itself.
  struct Place {
    UniqueFd directory;
    std::string name;
  };

  explicit TargetRoot(UniqueFd root) : root_(std::move(root)) {}

  [[nodiscard]] int fd() const noexcept { return root_.get(); }

  /// The absolute path, without links, that `path` leads to inside the root; links are followed, at
  /// the end too, and what does not exist is taken as it is. \throws Error "too many links".
  [[nodiscard]] std::string resolve(std::string_view path) const;

  /// Opens the directory that the resolved `path` is in. \throws path_error(`call`, ...).
  [[nodiscard]] Place place(const std::string& path, std::string_view call) const;

  /// lstat of a resolved path; nullopt when there is nothing, or a part of it is no directory.
  [[nodiscard]] std::optional<struct stat> status(const std::string& path) const;

  /// Makes the directory at the resolved `path` and those above it that are missing. Returns those
  /// that were made, outermost first; only they get mode and attributes.
  std::vector<std::string> make_directories(const std::string& path, mode_t mode,
                                            const NewFileAttributes& attributes) const;

  /// Sets what `attributes` has. Links are not followed.
  static void apply(int directory, const std::string& name, const std::string& path,
                    const NewFileAttributes& attributes);

 private:
  UniqueFd root_;
};

/// lchown, with a message that says what is missing where a user namespace lacks the id (F8.2.7).
void change_owner(int directory, const std::string& name, std::string_view path, Owner owner);

}  // namespace cobuild::ops
