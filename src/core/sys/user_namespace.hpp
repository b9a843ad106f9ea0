#pragma once

/// Subordinate ids, and user namespaces made of them.
///
/// Everything here works before the process has threads: it is used at the very start of main.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild {

/// A line of /etc/subuid or /etc/subgid: `count` ids from `first` belong to somebody.
struct SubidRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  friend bool operator==(const SubidRange&, const SubidRange&) = default;
};

/// The ranges that `text` (the content of /etc/subuid) gives to the user called `name` or with the
/// id `uid`, in the file's order. Lines that are not "owner:first:count" are skipped, and so are
/// ranges of no ids or beyond 2^32. At most kSubidRangesMax are returned.
inline constexpr std::size_t kSubidRangesMax = 340;  // the kernel's limit for lines in a uid_map
[[nodiscard]] std::vector<SubidRange> parse_subids(std::string_view text, std::string_view name,
                                                   uid_t uid);

/// The name of `uid` in `passwd_text` (the content of /etc/passwd); nullopt when it has none.
[[nodiscard]] std::optional<std::string> user_name(std::string_view passwd_text, uid_t uid);

/// One line of a uid_map or gid_map.
struct IdMapping {
  std::uint32_t inside = 0;
  std::uint32_t outside = 0;
  std::uint32_t count = 0;
  friend bool operator==(const IdMapping&, const IdMapping&) = default;
};

/// Inside, 0 is `own_id`, and 1, 2, … are the subordinate ids, one range after the other.
[[nodiscard]] std::vector<IdMapping> map_ids(std::uint32_t own_id,
                                             const std::vector<SubidRange>& ranges);

/// Whether `id_map` (the content of /proc/self/uid_map or gid_map) has the id `inside`.
[[nodiscard]] bool has_id(std::string_view id_map, std::uint32_t inside);

/// Whether this process is in a user namespace that does not have all ids of the machine.
[[nodiscard]] bool in_user_namespace();

/// Why this machine does not let an ordinary user make a user namespace, and the command that
/// changes it; judged from the kernel's settings after `errno_value` came from trying. Never empty.
struct Refusal {
  std::string cause;   ///< "user namespaces are forbidden: kernel.unprivileged_userns_clone is 0"
  std::string remedy;  ///< "sysctl -w kernel.unprivileged_userns_clone=1"
};
[[nodiscard]] Refusal explain_userns_refusal(int errno_value);

}  // namespace cobuild
