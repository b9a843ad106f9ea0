#include "core/sys/tree.hpp"

#include <dirent.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>

#include "core/base/error.hpp"

namespace cobuild {

namespace {

/// Below this depth a directory is moved up before it is emptied, so that neither the stack nor the
/// descriptors grow with the tree.
constexpr int kRemovalDepthMax = 128;

constexpr std::size_t kXattrBytesMax = 1 << 20;

/// Removes everything below one directory.
class TreeRemoval {
 public:
  using Time = std::chrono::steady_clock::time_point;
  TreeRemoval(int root_fd, Time until) : root_fd_(root_fd), until_(until) {}

  /// False when the time ran out.
  bool run() {
    empty(root_fd_, 0);
    // What was moved up is below the root again, at depth one.
    while (moved_ > done_ && !late_) {
      std::string const name = moved_name(done_++);
      remove_entry(root_fd_, name, DT_DIR, 0);
    }
    if (failure_ && !late_) std::rethrow_exception(failure_);
    return !late_;
  }

 private:
  static std::string moved_name(int number) { return ".cobuild-removal-" + std::to_string(number); }

  void note(int error, const std::string& name) {
    if (!failure_) failure_ = std::make_exception_ptr(Error::from_errno(error, "remove " + name));
  }

  bool is_late() {
    late_ = late_ || (until_ != Time::max() && std::chrono::steady_clock::now() >= until_);
    return late_;
  }

  void empty(int fd, int depth) {
    try {
      for (const DirectoryEntry& entry : list_directory(fd)) {
        if (is_late()) return;
        remove_entry(fd, entry.name, entry.type, depth);
      }
    } catch (...) {
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void remove_entry(int parent, const std::string& name, unsigned char type, int depth) {
    if (type != DT_DIR) {
      if (unlink_at(parent, name, 0) == 0) return;
      if (errno == ENOENT) return;
      if (errno != EISDIR && errno != EPERM) return note(errno, name);
    }
    if (unlink_at(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return;
    if (errno != ENOTEMPTY && errno != EEXIST && errno != EACCES) return note(errno, name);
    if (depth >= kRemovalDepthMax) {
      if (::renameat(parent, name.c_str(), root_fd_, moved_name(moved_).c_str()) == 0) {
        ++moved_;
        return;
      }
      return note(errno, name);
    }
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd directory(::openat(parent, name.c_str(), kFlags));
    if (directory.get() < 0 && errno == EACCES && ::fchmodat(parent, name.c_str(), 0700, 0) == 0) {
      directory = UniqueFd(::openat(parent, name.c_str(), kFlags));
    }
    if (directory.get() < 0) {
      if (errno != ENOENT) note(errno, name);
      return;
    }
    empty(directory.get(), depth + 1);
    if (late_) return;
    if (unlink_at(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT) note(errno, name);
  }

  /// unlinkat, once more after making the directory writable: its mode may forbid it even to us.
  static int unlink_at(int parent, const std::string& name, int flags) {
    if (::unlinkat(parent, name.c_str(), flags) == 0) return 0;
    if (errno != EACCES) return -1;
    if (::fchmod(parent, 0700) != 0) {
      errno = EACCES;
      return -1;
    }
    return ::unlinkat(parent, name.c_str(), flags);
  }

  int root_fd_;
  Time until_;
  bool late_ = false;
  int moved_ = 0;
  int done_ = 0;
  std::exception_ptr failure_;
};

int open_beneath(int root_fd, std::string_view path, int flags, unsigned mode) {
  std::string const relative(path.empty() ? std::string_view(".") : path);
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  how.mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    long const fd = ::syscall(SYS_openat2, root_fd, relative.c_str(), &how, sizeof how);
    // EAGAIN: something was renamed while ".." was being resolved; the kernel asks us to try again.
    if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) return static_cast<int>(fd);
  }
}

bool copy_in_kernel(int from, int to, std::uint64_t bytes_max) {
  std::uint64_t copied = 0;
  while (copied < bytes_max) {
    constexpr std::uint64_t kPiece = std::uint64_t{1} << 30;
    ssize_t const n =
        ::copy_file_range(from, nullptr, to, nullptr, std::min(kPiece, bytes_max - copied), 0);
    if (n == 0) return true;
    if (n > 0) {
      copied += static_cast<std::uint64_t>(n);
      continue;
    }
    if (errno == EINTR) continue;
    bool const unsupported = errno == EXDEV || errno == EINVAL || errno == ENOSYS ||
                             errno == EOPNOTSUPP || errno == EPERM;
    if (unsupported && copied == 0) return false;
    throw Error::from_errno(errno, "copy a file");
  }
  return true;
}

void write_all(int to, const char* data, std::size_t size) {
  while (size > 0) {
    ssize_t const n = ::write(to, data, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      throw Error::from_errno(errno, "write a file");
    }
    data += n;
    size -= static_cast<std::size_t>(n);
  }
}

void copy_by_hand(int from, int to, std::uint64_t bytes_max) {
  std::vector<char> buffer(256 << 10);
  while (bytes_max > 0) {
    ssize_t const n =
        ::read(from, buffer.data(), std::min<std::uint64_t>(buffer.size(), bytes_max));
    if (n == 0) return;
    if (n < 0) {
      if (errno == EINTR) continue;
      throw Error::from_errno(errno, "read a file");
    }
    write_all(to, buffer.data(), static_cast<std::size_t>(n));
    bytes_max -= static_cast<std::uint64_t>(n);
  }
}

bool remove_entry_until(int parent_fd, const std::string& name, TreeRemoval::Time until) {
  if (::unlinkat(parent_fd, name.c_str(), 0) == 0 || errno == ENOENT) return true;
  if (errno != EISDIR && errno != EPERM) throw Error::from_errno(errno, "remove " + name);
  if (::unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) == 0) return true;
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  UniqueFd root(::openat(parent_fd, name.c_str(), kFlags));
  if (root.get() < 0 && errno == EACCES && ::fchmodat(parent_fd, name.c_str(), 0700, 0) == 0) {
    root = UniqueFd(::openat(parent_fd, name.c_str(), kFlags));
  }
  if (root.get() < 0) throw Error::from_errno(errno, "remove " + name);
  if (!TreeRemoval(root.get(), until).run()) return false;
  if (::unlinkat(parent_fd, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
    throw Error::from_errno(errno, "remove " + name);
  }
  return true;
}

}  // namespace

void remove_tree_at(int parent_fd, const std::string& name) {
  (void)remove_entry_until(parent_fd, name, TreeRemoval::Time::max());
}

void remove_tree(const std::filesystem::path& path) {
  remove_tree_at(AT_FDCWD, path.string());
}

bool remove_tree_until(const std::filesystem::path& path,
                       std::chrono::steady_clock::time_point until) {
  return remove_entry_until(AT_FDCWD, path.string(), until);
}

UniqueFd open_in_root(int root_fd, std::string_view path, int flags, unsigned mode) {
  int const fd = open_beneath(root_fd, path, flags, mode);
  if (fd < 0) throw Error::from_errno(errno, "open " + std::string(path));
  return UniqueFd(fd);
}

UniqueFd try_open_in_root(int root_fd, std::string_view path, int flags, int& errno_out) {
  int const fd = open_beneath(root_fd, path, flags, 0);
  errno_out = 0;
  if (fd >= 0) return UniqueFd(fd);
  errno_out = errno;
  if (errno_out == ENOENT || errno_out == ENOTDIR || errno_out == ELOOP) return {};
  throw Error::from_errno(errno_out, "open " + std::string(path));
}

std::vector<DirectoryEntry> list_directory(int fd) {
  std::vector<DirectoryEntry> entries;
  if (::lseek(fd, 0, SEEK_SET) < 0) throw Error::from_errno(errno, "rewind a directory");
  alignas(dirent64) char buffer[64 << 10];
  for (;;) {
    ssize_t const n = ::getdents64(fd, buffer, sizeof buffer);
    if (n < 0) throw Error::from_errno(errno, "read a directory");
    if (n == 0) break;
    for (ssize_t offset = 0; offset < n;) {
      const auto* entry = reinterpret_cast<const dirent64*>(buffer + offset);
      offset += entry->d_reclen;
      std::string_view const name(entry->d_name);
      if (name == "." || name == "..") continue;
      if (entries.size() >= kDirectoryEntriesMax) {
        throw Error(ErrorKind::kInvalidInput, "a directory has too many entries");
      }
      entries.push_back({std::string(name), entry->d_type, entry->d_ino});
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const DirectoryEntry& a, const DirectoryEntry& b) { return a.name < b.name; });
  return entries;
}

std::optional<struct stat> stat_at(int parent_fd, const char* name) {
  struct stat result{};
  int const flags = AT_SYMLINK_NOFOLLOW | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (::fstatat(parent_fd, name, &result, flags) == 0) return result;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw Error::from_errno(errno, std::string("stat ") + name);
}

std::string read_link_at(int parent_fd, const char* name) {
  std::string target(PATH_MAX, '\0');
  ssize_t const n = ::readlinkat(parent_fd, name, target.data(), target.size());
  if (n < 0) throw Error::from_errno(errno, std::string("read the link ") + name);
  target.resize(static_cast<std::size_t>(n));
  return target;
}

void copy_file_content(int from, int to, std::uint64_t bytes_max) {
  if (::ioctl(to, FICLONE, from) == 0) return;
  if (!copy_in_kernel(from, to, bytes_max)) copy_by_hand(from, to, bytes_max);
}

std::string proc_path(int parent_fd, std::string_view name) {
  std::string path = "/proc/self/fd/" + std::to_string(parent_fd);
  if (!name.empty()) path.append("/").append(name);
  return path;
}

Xattrs read_xattrs_at(int parent_fd, const std::string& name) {
  std::string const path = proc_path(parent_fd, name);
  // With no name the descriptor itself is meant, and the magic link must be followed.
  auto list = name.empty() ? ::listxattr : ::llistxattr;
  auto get = name.empty() ? ::getxattr : ::lgetxattr;
  Xattrs result;
  ssize_t size = list(path.c_str(), nullptr, 0);
  if (size == 0) return result;
  std::string names;
  while (size > 0) {
    names.resize(static_cast<std::size_t>(size) + 256);
    size = list(path.c_str(), names.data(), names.size());
    if (size >= 0 || errno != ERANGE) break;
    size = list(path.c_str(), nullptr, 0);
  }
  if (size < 0) {
    if (errno == ENOTSUP || errno == ENOENT || errno == ENOSYS) return result;
    throw Error::from_errno(errno, "list the extended attributes of " + name);
  }
  names.resize(static_cast<std::size_t>(size));
  for (std::size_t at = 0; at < names.size();) {
    std::string key(names.c_str() + at);
    at += key.size() + 1;
    std::string value;
    ssize_t n = get(path.c_str(), key.c_str(), nullptr, 0);
    while (n > 0 && static_cast<std::size_t>(n) <= kXattrBytesMax) {
      value.resize(static_cast<std::size_t>(n) + 64);
      n = get(path.c_str(), key.c_str(), value.data(), value.size());
      if (n >= 0 || errno != ERANGE) break;
      n = get(path.c_str(), key.c_str(), nullptr, 0);
    }
    if (n < 0) {
      if (errno == ENODATA || errno == ENOTSUP) continue;
      throw Error::from_errno(errno, "read the extended attribute " + key + " of " + name);
    }
    value.resize(static_cast<std::size_t>(n));
    result.emplace_back(std::move(key), std::move(value));
  }
  std::sort(result.begin(), result.end());
  return result;
}

int set_xattr_at(int parent_fd, const std::string& name, const std::string& key,
                 std::string_view value) {
  std::string const path = proc_path(parent_fd, name);
  auto set = name.empty() ? ::setxattr : ::lsetxattr;
  return set(path.c_str(), key.c_str(), value.data(), value.size(), 0) == 0 ? 0 : errno;
}

}  // namespace cobuild
