#include "core/sys/user_namespace.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>

namespace cobuild {
namespace {

constexpr std::uint64_t kIdsEnd = std::uint64_t{1} << 32;

std::string_view take_field(std::string_view& rest, char separator) {
  std::size_t const end = std::min(rest.find(separator), rest.size());
  std::string_view const field = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return field;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::optional<SubidRange> parse_range(std::string_view first_text, std::string_view count_text) {
  auto const first = parse_number(first_text);
  auto const count = parse_number(count_text);
  if (!first || !count || *count == 0) return std::nullopt;
  if (*first >= kIdsEnd || *count > kIdsEnd - *first || *count > kIdsEnd - 1) return std::nullopt;
  return SubidRange{.first = static_cast<std::uint32_t>(*first),
                    .count = static_cast<std::uint32_t>(*count)};
}

/// The number in a file of /proc/sys; nullopt when this kernel does not have it.
std::optional<long> kernel_setting(const char* path) {
  std::ifstream file(path);
  long value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

}  // namespace

std::vector<SubidRange> parse_subids(std::string_view text, std::string_view name, uid_t uid) {
  std::string const uid_text = std::to_string(uid);
  std::vector<SubidRange> ranges;
  while (!text.empty() && ranges.size() < kSubidRangesMax) {
    std::string_view line = take_field(text, '\n');
    std::string_view const owner = take_field(line, ':');
    std::string_view const first = take_field(line, ':');
    if (owner.empty() || (owner != name && owner != uid_text)) continue;
    if (auto range = parse_range(first, line)) ranges.push_back(*range);
  }
  return ranges;
}

std::optional<std::string> user_name(std::string_view passwd_text, uid_t uid) {
  while (!passwd_text.empty()) {
    std::string_view line = take_field(passwd_text, '\n');
    std::string_view const name = take_field(line, ':');
    take_field(line, ':');  // the password
    if (!name.empty() && parse_number(take_field(line, ':')) == uid) return std::string(name);
  }
  return std::nullopt;
}

std::vector<IdMapping> map_ids(std::uint32_t own_id, const std::vector<SubidRange>& ranges) {
  std::vector<IdMapping> mappings{{.inside = 0, .outside = own_id, .count = 1}};
  std::uint64_t next = 1;
  for (const SubidRange& range : ranges) {
    // The last id, 2^32 - 1, means "no id" to the kernel.
    std::uint64_t const room = kIdsEnd - 1 - next;
    auto const count = static_cast<std::uint32_t>(std::min<std::uint64_t>(range.count, room));
    if (count == 0 || mappings.size() == kSubidRangesMax) break;
    mappings.push_back(
        {.inside = static_cast<std::uint32_t>(next), .outside = range.first, .count = count});
    next += count;
  }
  return mappings;
}

bool has_id(std::string_view id_map, std::uint32_t inside) {
  std::istringstream lines{std::string(id_map)};
  std::uint64_t first = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  while (lines >> first >> outside >> count) {
    if (inside >= first && inside - first < count) return true;
  }
  return false;
}

bool in_user_namespace() {
  std::ifstream map("/proc/self/uid_map");
  std::uint64_t inside = 0;
  std::uint64_t outside = 0;
  std::uint64_t count = 0;
  if (!(map >> inside >> outside >> count)) return false;
  return inside != 0 || outside != 0 || count != std::numeric_limits<std::uint32_t>::max();
}

Refusal explain_userns_refusal(int errno_value) {
  auto forbidden = [](const char* setting, long value, const char* wanted) {
    std::string const name(setting);
    return Refusal{
        .cause = "user namespaces are forbidden: " + name + " is " + std::to_string(value),
        .remedy = "sysctl -w " + name + "=" + wanted};
  };
  if (auto value = kernel_setting("/proc/sys/kernel/unprivileged_userns_clone"); value == 0L) {
    return forbidden("kernel.unprivileged_userns_clone", *value, "1");
  }
  if (auto value = kernel_setting("/proc/sys/user/max_user_namespaces");
      value && (*value == 0 || errno_value == ENOSPC)) {
    return forbidden("user.max_user_namespaces", *value, "28633");
  }
  if (auto value = kernel_setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns");
      value && *value != 0) {
    return forbidden("kernel.apparmor_restrict_unprivileged_userns", *value, "0");
  }
  return {.cause = std::string("user namespaces are refused by the kernel: ") +
                   std::strerror(errno_value),
          .remedy =
              "inside a container, start it with --security-opt seccomp=unconfined "
              "(or run cobuild on the host)"};
}

}  // namespace cobuild
