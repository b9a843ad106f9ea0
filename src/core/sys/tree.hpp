#pragma once

/// Work on trees of files beneath an open directory. Everything here blocks: call it on the pool.
///
/// Names come from images and contexts, so they are foreign: nothing here follows a link out of the
/// directory it was given, whatever changes meanwhile.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/sys/fs.hpp"

namespace cobuild {

/// Removes `path` and all below it; no error when there is nothing. Links are removed, not
/// followed; directories that their owner may not write are made writable first. Never leaves
/// `path` half listed: what can be removed is removed before it throws. \throws Error naming the
/// first entry that could not be removed. Any depth, with a bounded number of descriptors.
void remove_tree(const std::filesystem::path& path);

/// The same, but no longer than `until`, and then false: what is left can be removed another time.
bool remove_tree_until(const std::filesystem::path& path,
                       std::chrono::steady_clock::time_point until);

/// remove_tree for the entry `name` of the directory `parent_fd`.
void remove_tree_at(int parent_fd, const std::string& name);

/// Opens `path` with `root_fd` as "/": absolute links and ".." stay inside. `path` may be absolute
/// or relative, and is taken from the root either way; "" is the root itself. O_CLOEXEC is added.
/// \throws Error kNotFound and the like, naming `path` as seen from the root.
[[nodiscard]] UniqueFd open_in_root(int root_fd, std::string_view path, int flags,
                                    unsigned mode = 0);

/// As open_in_root, but absence (ENOENT, ENOTDIR) and a loop of links (ELOOP) are answers:
/// `errno_out` says which, and the result is empty. Other failures throw.
[[nodiscard]] UniqueFd try_open_in_root(int root_fd, std::string_view path, int flags,
                                        int& errno_out);

/// One entry of a directory.
struct DirectoryEntry {
  std::string name;
  unsigned char type = 0;  ///< DT_REG, DT_DIR, ...; DT_UNKNOWN where the file system does not say.
  ino_t inode = 0;
};

/// The entries of the directory `fd` without "." and "..", sorted by name bytewise. `fd` stays
/// open; its offset is used. \throws Error kInvalidInput beyond kDirectoryEntriesMax entries.
inline constexpr std::size_t kDirectoryEntriesMax = 10'000'000;
[[nodiscard]] std::vector<DirectoryEntry> list_directory(int fd);

/// lstat of `name` in `parent_fd`; nullopt when it does not exist. \throws Error for other
/// failures.
[[nodiscard]] std::optional<struct stat> stat_at(int parent_fd, const char* name);

/// The target of the symbolic link `name` in `parent_fd`; with name "" of the O_PATH descriptor
/// itself.
[[nodiscard]] std::string read_link_at(int parent_fd, const char* name);

/// Copies the whole content of the regular file `from` into the empty file `to`, the cheapest way
/// that works: a reflink, else a copy in the kernel, else read and write. Holes may be filled.
/// `bytes_max` keeps a file that somebody writes to all the time from being copied for ever; a
/// reflink may bring more.
void copy_file_content(int from, int to,
                       std::uint64_t bytes_max = std::numeric_limits<std::uint64_t>::max());

/// Extended attributes as (name, value), sorted by name. Empty where the file system has none.
using Xattrs = std::vector<std::pair<std::string, std::string>>;

/// Those of `name` in `parent_fd`, links not followed. `parent_fd` may be O_PATH. Names are
/// filtered by nobody. \throws Error for failures other than "not supported" and "gone meanwhile".
[[nodiscard]] Xattrs read_xattrs_at(int parent_fd, const std::string& name);

/// Sets one on `name` in `parent_fd`, links not followed. Returns 0, or the errno of the failure:
/// which failures matter is the caller's to know.
[[nodiscard]] int set_xattr_at(int parent_fd, const std::string& name, const std::string& key,
                               std::string_view value);

/// /proc/self/fd/N/name: for the calls that have no *at form. Valid while `parent_fd` is open.
[[nodiscard]] std::string proc_path(int parent_fd, std::string_view name);

}  // namespace cobuild
