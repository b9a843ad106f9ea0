#pragma once

/// Looks through a stack of layer directories as an overlay mount would, without mounting it.
///
/// A layer directory has the form of an overlay lower directory: a whiteout is a character device
/// 0/0, and a directory that hides what is below it has the xattr user.overlay.opaque (or
/// trusted.overlay.opaque) = "y".

#include <sys/stat.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/sys/fs.hpp"

namespace cobuild::oci {

class LayerStack {
 public:
  /// What a path names, and where: `layer` counts from the lowest.
  struct Entry {
    struct stat status;
    std::size_t layer;
  };

  /// `layers`: directories, lowest first; none: everything is absent. They must not change
  /// meanwhile. \throws Error if one cannot be opened.
  explicit LayerStack(const std::vector<std::filesystem::path>& layers);

  /// What `path` is; nullopt if there is nothing. `path` is relative, clean, without a trailing
  /// slash, and its components are not followed: a symlink has no children. "" is the root.
  [[nodiscard]] std::optional<Entry> find(std::string_view path);

  /// The names in a directory of the stack, sorted by bytes; empty if it is none.
  [[nodiscard]] std::vector<std::string> names(std::string_view directory);

  // What the stack, as one set of changes, says of whatever it is laid upon.

  /// As find, but a whiteout is an entry, too.
  [[nodiscard]] std::optional<Entry> find_change(std::string_view path);

  /// As names, with those of whiteouts.
  [[nodiscard]] std::vector<std::string> changed_names(std::string_view directory);

  /// Whether a directory of the stack hides what is in the directory below it. The directories on the
  /// way to it do not.
  [[nodiscard]] bool hides_below(std::string_view directory);

  /// Where the file of `entry` can be opened: a descriptor of its layer; the path stays the same.
  [[nodiscard]] int layer_fd(const Entry& entry) const { return roots_[entry.layer].get(); }

 private:
  /// The layers whose directories make up one directory of the stack, highest first.
  using Contributors = std::vector<std::size_t>;

  enum class Whiteouts { kAreNothing, kAreEntries };

  const Contributors& contributors(const std::string& directory);
  [[nodiscard]] std::optional<Entry> find(std::string_view path, Whiteouts whiteouts);
  [[nodiscard]] std::optional<Entry> look_up(const Contributors& parents, const std::string& path,
                                             Contributors* found, Whiteouts whiteouts) const;

  std::vector<UniqueFd> roots_;
  Contributors root_;
  std::map<std::string, Contributors, std::less<>>
      directories_;  ///< Bounded; \see kDirectoriesMax.
};

/// Whether this is overlay's mark for "nothing here".
[[nodiscard]] bool is_whiteout(const struct stat& status) noexcept;

/// Whether the directory `path` beneath `root_fd` hides what is below it.
[[nodiscard]] bool is_opaque(int root_fd, const std::string& path);

}  // namespace cobuild::oci
