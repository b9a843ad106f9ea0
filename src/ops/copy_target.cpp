#include "ops/copy_target.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <system_error>

#include "core/base/go_path.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::ops {

namespace {

constexpr int kLinksMax = 255;

/// "/a/b" as the *at calls want it: relative to the root's descriptor.
[[nodiscard]] std::string relative(std::string_view path) {
  while (path.starts_with('/')) path.remove_prefix(1);
  return path.empty() ? std::string(".") : std::string(path);
}

}  // namespace

Error path_error(std::string_view call, std::string_view path, int errno_value) {
  std::string reason = std::generic_category().message(errno_value);
  if (!reason.empty()) {
    reason[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(reason[0])));
  }
  ErrorKind kind = ErrorKind::kInvalidInput;
  if (errno_value == ENOENT) kind = ErrorKind::kNotFound;
  if (errno_value == EACCES || errno_value == EPERM) kind = ErrorKind::kDenied;
  if (errno_value == ENOSPC || errno_value == EDQUOT) kind = ErrorKind::kUnavailable;
  return Error(kind, std::string(call) + " " + std::string(path) + ": " + reason);
}

std::string TargetRoot::resolve(std::string_view path) const {
  std::string rest = go_path::join("/", path);
  std::string current;
  int links = 0;
  while (!rest.empty()) {
    std::size_t const slash = rest.find('/');
    std::string const name = rest.substr(0, slash);
    rest = slash == std::string::npos ? std::string() : rest.substr(slash + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      current.erase(std::min(current.rfind('/'), current.size()));
      continue;
    }
    std::string next = current + "/" + name;
    struct stat status{};
    if (::fstatat(fd(), relative(next).c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno != ENOENT) throw path_error("lstat", next, errno);
    } else if (S_ISLNK(status.st_mode)) {
      if (++links > kLinksMax)
        throw Error(ErrorKind::kInvalidInput, "too many links: " + std::string(path));
      std::string const target = read_link_at(fd(), relative(next).c_str());
      rest = target + "/" + rest;
      if (go_path::is_absolute(target)) current.clear();
      continue;
    }
    current = std::move(next);
  }
  return current.empty() ? "/" : current;
}

TargetRoot::Place TargetRoot::place(const std::string& path, std::string_view call) const {
  std::string const parent = path == "/" ? path : go_path::dir(path);
  int const directory =
      ::openat(fd(), relative(parent).c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (directory < 0) throw path_error(call, path, errno);
  return {.directory = UniqueFd(directory), .name = path == "/" ? "." : go_path::base(path)};
}

std::optional<struct stat> TargetRoot::status(const std::string& path) const {
  return stat_at(fd(), relative(path).c_str());
}

std::vector<std::string> TargetRoot::make_directories(const std::string& path, mode_t mode,
                                                      const NewFileAttributes& attributes) const {
  std::vector<std::string> created;
  for (std::size_t end = 1; end <= path.size() && path != "/"; ++end) {
    end = std::min(path.find('/', end), path.size());
    std::string const part = path.substr(0, end);
    if (auto const found = status(part)) {
      if (!S_ISDIR(found->st_mode)) throw path_error("mkdir", part, ENOTDIR);
      continue;
    }
    std::string const name = relative(part);
    if (::mkdirat(fd(), name.c_str(), mode) != 0) throw path_error("mkdir", part, errno);
    // Once more, for the umask; but what a parent with setgid hands down stays.
    auto const made = status(part);
    mode_t const inherited = made ? made->st_mode & S_ISGID : 0;
    if (::fchmodat(fd(), name.c_str(), mode | inherited, 0) != 0) {
      throw path_error("chmod", part, errno);
    }
    created.push_back(part);
    apply(fd(), name, part, attributes);
  }
  return created;
}

void TargetRoot::apply(int directory, const std::string& name, const std::string& path,
                       const NewFileAttributes& attributes) {
  if (attributes.owner) change_owner(directory, name, path, *attributes.owner);
  if (!attributes.time) return;
  std::array<timespec, 2> const times{*attributes.time, *attributes.time};
  if (::utimensat(directory, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    throw path_error("utimes", path, errno);
  }
}

void change_owner(int directory, const std::string& name, std::string_view path, Owner owner) {
  if (::fchownat(directory, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) == 0) return;
  int const error = errno;
  Error const failure = path_error("lchown", path, error);
  if (error != EINVAL) throw failure;
  throw Error(ErrorKind::kDenied,
              std::string(failure.what()) + " (user " + std::to_string(owner.uid) + ", group " +
                  std::to_string(owner.gid) +
                  "): this user namespace lacks that id; give the user more subordinate ids in "
                  "/etc/subuid and /etc/subgid");
}

}  // namespace cobuild::ops
