#include "ops/user_lookup.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>

#include "core/base/error.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::ops {

namespace {

constexpr std::int64_t kIdMax = std::numeric_limits<std::int32_t>::max();

[[nodiscard]] std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  std::size_t const first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// The piece of `rest` before the next `separator`, which is taken off.
[[nodiscard]] std::string_view next_piece(std::string_view& rest, char separator) {
  std::size_t const end = rest.find(separator);
  std::string_view const piece = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return piece;
}

/// As Go's strconv.Atoi, with 0 for what is no number: misbehaving files are common.
[[nodiscard]] std::int64_t lenient_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  std::int64_t value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

/// The id that `text` is; nullopt when it is a name. \throws Error beyond the range.
[[nodiscard]] std::optional<std::int64_t> parse_id(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with('+')) digits.remove_prefix(1);
  std::int64_t value = 0;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || end != digits.data() + digits.size()) return std::nullopt;
  if (error == std::errc::invalid_argument) return std::nullopt;
  if (error != std::errc() || value < 0 || value > kIdMax) {
    throw Error(ErrorKind::kInvalidInput,
                "uids and gids must be in range 0-" + std::to_string(kIdMax));
  }
  return value;
}

/// Both ids of "uid:gid"; nullopt when either is a name or missing. "root" is 0 here.
[[nodiscard]] std::optional<ExecUser> parse_numeric_pair(std::string_view spec) {
  std::size_t const colon = spec.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  auto number = [](std::string_view text) -> std::optional<std::uint32_t> {
    if (text == "root") return 0;
    std::uint32_t value = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
      return std::nullopt;
    return value;
  };
  auto const uid = number(spec.substr(0, colon));
  auto const gid = number(spec.substr(colon + 1));
  if (!uid || !gid) return std::nullopt;
  return ExecUser{.uid = *uid, .gid = *gid, .additional_gids = {}, .home = {}};
}

template <class Fn>
void for_each_line(std::string_view text, Fn fn) {
  while (!text.empty()) {
    std::string_view const line = trim(next_piece(text, '\n'));
    if (!line.empty()) fn(line);
  }
}

[[nodiscard]] Error no_entry(std::string_view what, std::string_view name) {
  return Error(ErrorKind::kInvalidInput, "unable to find " + std::string(what) + " " +
                                             std::string(name) + ": no matching entries in " +
                                             (what == "user" ? "passwd" : "group") + " file");
}

void apply_groups(ExecUser& user, std::string_view group_arg, std::string_view matched_name,
                  const std::vector<GroupEntry>& groups) {
  if (group_arg.empty()) {
    for (const GroupEntry& entry : groups) {
      if (std::find(entry.members.begin(), entry.members.end(), matched_name) !=
          entry.members.end()) {
        user.additional_gids.push_back(static_cast<std::uint32_t>(entry.gid));
      }
    }
    return;
  }
  std::optional<std::int64_t> const id = parse_id(group_arg);
  auto const found = std::find_if(groups.begin(), groups.end(), [&](const GroupEntry& entry) {
    return id ? entry.gid == *id : entry.name == group_arg;
  });
  if (found != groups.end()) {
    user.gid = static_cast<std::uint32_t>(found->gid);
  } else if (id) {
    user.gid = static_cast<std::uint32_t>(*id);
  } else {
    throw no_entry("group", group_arg);
  }
}

}  // namespace

std::vector<PasswdEntry> parse_passwd(std::string_view text) {
  std::vector<PasswdEntry> entries;
  for_each_line(text, [&entries](std::string_view line) {
    std::array<std::string_view, 6> field;
    for (std::string_view& piece : field) piece = next_piece(line, ':');
    entries.push_back({.name = std::string(field[0]),
                       .uid = lenient_number(field[2]),
                       .gid = lenient_number(field[3]),
                       .home = std::string(field[5])});
  });
  return entries;
}

std::vector<GroupEntry> parse_group(std::string_view text) {
  std::vector<GroupEntry> entries;
  for_each_line(text, [&entries](std::string_view line) {
    if (line.starts_with('#')) return;
    std::array<std::string_view, 4> field;
    for (std::string_view& piece : field) piece = next_piece(line, ':');
    GroupEntry entry{.name = std::string(field[0]), .gid = lenient_number(field[2]), .members = {}};
    while (!field[3].empty()) entry.members.emplace_back(next_piece(field[3], ','));
    entries.push_back(std::move(entry));
  });
  return entries;
}

ExecUser lookup_exec_user(std::string_view spec, std::optional<std::string_view> passwd,
                          std::optional<std::string_view> group) {
  bool const is_default = spec.empty();
  if (is_default) spec = "0";
  if (auto pair = parse_numeric_pair(spec)) return *pair;

  std::string_view rest = spec;
  std::string_view const user_arg = next_piece(rest, ':');
  std::string_view const group_arg = next_piece(rest, ':');
  std::optional<std::int64_t> const id = parse_id(user_arg);
  if (!group_arg.empty()) static_cast<void>(parse_id(group_arg));  // for its range

  ExecUser user;
  std::string matched_name;
  std::vector<PasswdEntry> const users = parse_passwd(passwd.value_or(std::string_view()));
  auto const found = std::find_if(users.begin(), users.end(), [&](const PasswdEntry& entry) {
    if (user_arg.empty()) return entry.uid == 0;
    return id ? entry.uid == *id : entry.name == user_arg;
  });
  if (found != users.end()) {
    matched_name = found->name;
    user.uid = static_cast<std::uint32_t>(found->uid);
    user.gid = static_cast<std::uint32_t>(found->gid);
    user.home = found->home;
  } else if (!user_arg.empty()) {
    if (!id) throw no_entry("user", user_arg);
    user.uid = static_cast<std::uint32_t>(*id);
  }
  if (!group_arg.empty() || !matched_name.empty()) {
    apply_groups(user, group_arg, matched_name, parse_group(group.value_or(std::string_view())));
  }
  return user;
}

namespace {

/// What is unreadable is as if it were missing; a name then is not found.
std::optional<std::string> try_read_user_file(int root_fd, std::string_view path) {
  try {
    return read_user_file(root_fd, path);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

std::string find_home(int root_fd, std::uint32_t uid) {
  std::optional<std::string> const passwd = try_read_user_file(root_fd, "/etc/passwd");
  for (const PasswdEntry& entry : parse_passwd(passwd.value_or(""))) {
    if (entry.uid == uid) return entry.home;
  }
  return "/";
}

std::optional<std::string> read_user_file(int root_fd, std::string_view path) {
  int error = 0;
  // O_NONBLOCK: opening a fifo that an image put there must not wait for its other end.
  UniqueFd fd = try_open_in_root(root_fd, path, O_RDONLY | O_NONBLOCK, error);
  if (!fd) return std::nullopt;
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw Error::from_errno(errno, "stat " + std::string(path));
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::kInvalidInput, std::string(path) + " is not a regular file");
  }
  std::string text;
  std::array<char, 64 << 10> buffer;
  for (;;) {
    ssize_t const n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error::from_errno(errno, "read " + std::string(path));
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(n));
    if (text.size() > kUserFileBytesMax) {
      throw Error(ErrorKind::kInvalidInput, "\"" + std::string(path) + "\" exceeds " +
                                                std::to_string(kUserFileBytesMax) + " bytes");
    }
  }
}

ExecUser resolve_exec_user(int root_fd, std::string_view spec) {
  if (auto pair = parse_numeric_pair(spec)) return *pair;
  std::optional<std::string> const passwd = try_read_user_file(root_fd, "/etc/passwd");
  std::optional<std::string> const group = try_read_user_file(root_fd, "/etc/group");
  return lookup_exec_user(spec, passwd, group);
}

}  // namespace cobuild::ops
