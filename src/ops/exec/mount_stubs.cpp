#include "ops/exec/mount_stubs.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <optional>
#include <system_error>

#include "core/base/error.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;

constexpr int kLinksMax = 255;
constexpr unsigned kModeBits = 07777;
constexpr unsigned kNewTmpfsMode = 01777;  ///< The kernel's.

std::optional<struct stat> stat_of(const fs::path& path) {
  struct stat result = {};
  if (::lstat(path.c_str(), &result) != 0) return std::nullopt;
  return result;
}

bool is_empty(const fs::path& path, const struct stat& status) {
  if (!S_ISDIR(status.st_mode)) return status.st_size == 0;
  std::error_code error;
  return fs::is_empty(path, error) && !error;
}

/// `root`/`canonical` without its last part; never above `root`.
void go_up(fs::path& canonical) {
  canonical = canonical.has_parent_path() ? canonical.parent_path() : fs::path();
}

void push_front(std::deque<fs::path>& parts, const fs::path& path) {
  std::deque<fs::path> front(path.begin(), path.end());
  parts.insert(parts.begin(), front.begin(), front.end());
}

}  // namespace

fs::path resolve_inside(const fs::path& root, const fs::path& path) {
  std::deque<fs::path> parts(path.begin(), path.end());
  fs::path canonical;  // relative to root; no part of it is a link
  int links = 0;
  while (!parts.empty()) {
    fs::path const part = parts.front();
    parts.pop_front();
    if (part.empty() || part == "." || part == "/") continue;
    if (part == "..") {
      go_up(canonical);
      continue;
    }
    auto const status = stat_of(root / canonical / part);
    if (!status || !S_ISLNK(status->st_mode)) {
      canonical /= part;
      continue;
    }
    if (++links > kLinksMax) {
      throw Error(ErrorKind::kInvalidInput, path.string() + ": too many levels of symbolic links");
    }
    fs::path const target = fs::read_symlink(root / canonical / part);
    if (target.is_absolute()) canonical.clear();
    push_front(parts, target);
  }
  return canonical.empty() ? root : root / canonical;
}

namespace {

bool leads_to_itself(const fs::path& root, const fs::path& path) {
  try {
    return path == root || resolve_inside(root, path.lexically_relative(root)) == path;
  } catch (const Error&) {
    return false;  // a loop of links
  }
}

}  // namespace

MountStubs::MountStubs(const ContainerSpec& container) : root_(container.rootfs) {
  std::vector<std::string> names{"/etc/resolv.conf", "/etc/hosts"};
  for (const ContainerMount& mount : container.mounts) names.push_back(mount.destination);
  for (const std::string& name : names) {
    fs::path path;
    try {
      path = resolve_inside(root_, name);
    } catch (const Error&) {
      continue;  // the runtime will refuse it with better words
    }
    while (path != root_ && !stat_of(path)) {
      missing_.push_back(path);
      if (!container.remove_mount_stubs_recursive) break;
      path = path.parent_path();
    }
  }
}

void MountStubs::remove() const {
  for (const fs::path& path : missing_) {
    // The step may have put links in place of directories: only the way we looked at is walked.
    if (!leads_to_itself(root_, path.parent_path())) continue;
    auto const status = stat_of(path);
    auto const parent = stat_of(path.parent_path());
    if (!status || !parent || !is_empty(path, *status)) continue;
    std::error_code ignored;
    if (!fs::remove(path, ignored)) continue;
    std::array<timespec, 2> const times{parent->st_atim, parent->st_mtim};
    ::utimensat(AT_FDCWD, path.parent_path().c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
  }
}

namespace {

struct DirectoryOwner {
  uid_t uid = 0;
  gid_t gid = 0;
};

/// `path`, a resolved one below `root`, and what is missing above it.
void make_directories(const fs::path& root, const fs::path& path, DirectoryOwner owner) {
  std::vector<fs::path> missing;
  for (fs::path next = path; next != root && !stat_of(next); next = next.parent_path()) {
    missing.push_back(next);
  }
  for (auto next = missing.rbegin(); next != missing.rend(); ++next) {
    if (::mkdir(next->c_str(), 0755) != 0 || ::chmod(next->c_str(), 0755) != 0 ||
        ::chown(next->c_str(), owner.uid, owner.gid) != 0) {
      throw Error::from_errno(errno, "make directory " + path.lexically_relative(root).string());
    }
  }
}

/// What is mounted below these does not reach the root's own files.
bool is_below_runtime_mount(const fs::path& destination) {
  auto part = destination.begin();
  if (part != destination.end() && *part == "/") ++part;
  return part != destination.end() && (*part == "proc" || *part == "dev" || *part == "sys");
}

}  // namespace

void make_mount_points(const ContainerSpec& container) {
  const fs::path& root = container.rootfs;
  for (const char* path : {"/proc", "/dev", "/sys"}) {
    make_directories(root, resolve_inside(root, path), {});
  }
  for (const ContainerMount& mount : container.mounts) {
    if (is_below_runtime_mount(mount.destination)) continue;
    std::error_code ignored;
    bool const on_directory =
        mount.kind == ContainerMount::Kind::kTmpfs || fs::is_directory(mount.source, ignored);
    fs::path const path = resolve_inside(root, mount.destination);
    if (path != root) make_directories(root, on_directory ? path : path.parent_path(), {});
  }
}

void set_tmpfs_modes(ContainerSpec& container) {
  const fs::path& root = container.rootfs;
  for (ContainerMount& mount : container.mounts) {
    bool const below_another = std::any_of(
        container.mounts.begin(), container.mounts.end(), [&mount](const ContainerMount& other) {
          return mount.destination.starts_with(other.destination + "/");
        });
    if (mount.kind != ContainerMount::Kind::kTmpfs || below_another) continue;
    if (is_below_runtime_mount(mount.destination)) continue;
    auto const status = stat_of(resolve_inside(root, mount.destination));
    unsigned const mode = status ? status->st_mode & kModeBits : kNewTmpfsMode;
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "mode=%04o", mode);
    mount.options.emplace_back(text.data());
  }
}

void make_working_directory(const ContainerSpec& container) {
  try {
    make_directories(container.rootfs, resolve_inside(container.rootfs, container.cwd),
                     {.uid = container.user.uid, .gid = container.user.gid});
  } catch (const Error& error) {
    throw error.with_context("failed to create working directory " + container.cwd);
  }
}

}  // namespace cobuild::ops
