#pragma once

/// Users and groups of a root file system, read from its own /etc/passwd and /etc/group: never from
/// the machine's, and without the C library's name services.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild::ops {

struct PasswdEntry {
  std::string name;
  std::int64_t uid = 0;
  std::int64_t gid = 0;
  std::string home;
};

struct GroupEntry {
  std::string name;
  std::int64_t gid = 0;
  std::vector<std::string> members;
};

/// More than this is refused in either file.
inline constexpr std::size_t kUserFileBytesMax = 10 << 20;

/// The lines of a passwd file. Forgiving as C libraries are: missing fields are empty, numbers that
/// are none are 0, blank lines are skipped.
[[nodiscard]] std::vector<PasswdEntry> parse_passwd(std::string_view text);

/// The lines of a group file; likewise, and lines that start with "#" are skipped.
[[nodiscard]] std::vector<GroupEntry> parse_group(std::string_view text);

/// Who a process runs as.
struct ExecUser {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  /// Supplementary groups, in the order of the group file. Without `gid` itself, unless listed.
  std::vector<std::uint32_t> additional_gids;
  std::string home;  ///< The passwd entry's; empty when there is none.
};

/// Resolves "user", "uid", "user:group" and so on (F1.8.2, F10.51). `passwd` and `group` are the
/// files' contents, nullopt when there are none. An empty `spec` is user 0 and never fails.
/// \throws Error kInvalidInput "unable to find user X: no matching entries in passwd file" and the
/// like (F10.52), or "uids and gids must be in range 0-2147483647".
[[nodiscard]] ExecUser lookup_exec_user(std::string_view spec,
                                        std::optional<std::string_view> passwd,
                                        std::optional<std::string_view> group);

/// The same, reading the files of the root file system open at `root_fd` (a directory). Files that
/// cannot be opened count as missing. "uid:gid" reads nothing. Blocking.
[[nodiscard]] ExecUser resolve_exec_user(int root_fd, std::string_view spec);

/// The home directory of a user by /etc/passwd of the root at `root_fd`; "/" when it lists none.
/// Blocking.
[[nodiscard]] std::string find_home(int root_fd, std::uint32_t uid);

/// A file such as /etc/passwd beneath `root_fd`, links resolved inside the root; nullopt when it
/// does not exist. Blocking. \throws Error when it is no regular file or too large.
[[nodiscard]] std::optional<std::string> read_user_file(int root_fd, std::string_view path);

}  // namespace cobuild::ops
