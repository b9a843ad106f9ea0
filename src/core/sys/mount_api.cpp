#include "core/sys/mount_api.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild {
namespace {

constexpr std::size_t kKernelMessageMax = 512;
constexpr int kCreateTriesMax = 16;
constexpr const char* kScratchTmpfsOptions = "mode=711,size=256m";

/// The directories of an overlay, held open. The kernel is given their numbers, not their names: a
/// name may hold commas and colons, and two hundred long ones do not fit into one page of options.
struct OpenDirectories {
  std::vector<UniqueFd> lowers;
  UniqueFd upper;
  UniqueFd work;
};

UniqueFd open_directory(const std::filesystem::path& path) {
  return open_file(path, O_PATH | O_DIRECTORY);
}

OpenDirectories open_directories(const OverlayOptions& options) {
  OpenDirectories open;
  open.lowers.reserve(options.lowers.size());
  for (const auto& lower : options.lowers) open.lowers.push_back(open_directory(lower));
  if (options.upper) {
    open.upper = open_directory(*options.upper);
    open.work = open_directory(options.work);
  }
  return open;
}

std::string fd_path(const UniqueFd& fd) {
  return "/proc/self/fd/" + std::to_string(fd.get());
}

/// What the kernel wrote about a failed fsconfig, else errno's text.
std::string kernel_message(const UniqueFd& context, int errno_value) {
  std::array<char, kKernelMessageMax> buffer{};
  std::string text;
  for (;;) {
    ssize_t const size = ::read(context.get(), buffer.data(), buffer.size());
    if (size <= 0) break;
    std::string line(buffer.data(), static_cast<std::size_t>(size));
    if (line.starts_with("e ")) text += (text.empty() ? "" : "; ") + line.substr(2);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::string const reason = std::generic_category().message(errno_value);
  return text.empty() ? reason : reason + " (" + text + ")";
}

/// fsconfig says EINVAL to what this kernel's overlayfs does not know.
class OverlayContext {
 public:
  OverlayContext() : fd_(::fsopen("overlay", FSOPEN_CLOEXEC)) {}
  [[nodiscard]] bool opened() const { return static_cast<bool>(fd_); }
  [[nodiscard]] const UniqueFd& fd() const { return fd_; }
  bool set(const char* key, const std::string& value) {
    return ::fsconfig(fd_.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  }
  bool set_flag(const char* key) {
    return ::fsconfig(fd_.get(), FSCONFIG_SET_FLAG, key, nullptr, 0) == 0;
  }
  bool create() { return ::fsconfig(fd_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0; }

 private:
  UniqueFd fd_;
};

enum class Tried { kMounted, kNotKnown };

/// Linux 6.8 and later: one lower at a time.
Tried mount_by_context(const OpenDirectories& open, const std::filesystem::path& target) {
  OverlayContext context;
  if (!context.opened()) return Tried::kNotKnown;
  for (auto lower = open.lowers.rbegin(); lower != open.lowers.rend(); ++lower) {
    if (!context.set("lowerdir+", fd_path(*lower))) return Tried::kNotKnown;
  }
  if (open.upper) {
    if (!context.set("upperdir", fd_path(open.upper)) ||
        !context.set("workdir", fd_path(open.work))) {
      return Tried::kNotKnown;
    }
    static_cast<void>(context.set_flag("volatile"));
  }
  static_cast<void>(context.set("xino", "off"));
  static_cast<void>(context.set("index", "off"));
  if (!context.set_flag("userxattr")) return Tried::kNotKnown;
  if (!context.create()) {
    throw Error(ErrorKind::kUnsupported, "mount an overlay on " + target.string() + ": " +
                                             kernel_message(context.fd(), errno));
  }
  UniqueFd const mount(::fsmount(context.fd().get(), FSMOUNT_CLOEXEC, 0));
  if (!mount ||
      ::move_mount(mount.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    throw Error::from_errno(errno, "mount an overlay on " + target.string());
  }
  return Tried::kMounted;
}

std::string legacy_options(const OpenDirectories& open, bool is_volatile) {
  std::string text = "userxattr,xino=off,index=off,lowerdir=";
  for (auto lower = open.lowers.rbegin(); lower != open.lowers.rend(); ++lower) {
    if (lower != open.lowers.rbegin()) text += ':';
    text += std::to_string(lower->get());
  }
  if (open.upper) {
    text += ",upperdir=" + std::to_string(open.upper.get());
    text += ",workdir=" + std::to_string(open.work.get());
    if (is_volatile) text += ",volatile";
  }
  return text;
}

/// Older kernels: all options in one page. Relative to /proc/self/fd a directory's name is its
/// number; a thread with a working directory of its own is the cheapest place to stand there.
void mount_by_options(const OpenDirectories& open, const std::filesystem::path& target) {
  int failure = 0;
  UniqueFd const here = open_directory("/proc/self/fd");
  std::thread([&] {
    if (::unshare(CLONE_FS) != 0 || ::fchdir(here.get()) != 0) {
      failure = errno;
      return;
    }
    for (bool is_volatile : {true, false}) {
      std::string const text = legacy_options(open, is_volatile);
      failure = 0;
      if (::mount("overlay", target.c_str(), "overlay", 0, text.c_str()) == 0) return;
      failure = errno;
      if (failure != EINVAL) return;
    }
  }).join();
  if (failure != 0) {
    Error const error = Error::from_errno(failure, "mount an overlay on " + target.string());
    throw Error(ErrorKind::kUnsupported, error.what());
  }
}

/// Whether the directory `path` is still the one that `fd` has open.
bool is_same_directory(const UniqueFd& fd, const std::filesystem::path& path) {
  struct stat opened = {};
  struct stat named = {};
  return ::fstat(fd.get(), &opened) == 0 && ::lstat(path.c_str(), &named) == 0 &&
         opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/// Removes the scratch directories of processes that are gone: those whose lock is free. One that
/// is a mount point here belongs to somebody alive in this mount namespace, whose lock is beneath
/// it.
void remove_stale(const std::filesystem::path& parent) {
  std::error_code error;
  struct stat beneath = {};
  if (::stat(parent.c_str(), &beneath) != 0) return;
  for (std::filesystem::directory_iterator entry(parent, error), end; !error && entry != end;
       entry.increment(error)) {
    UniqueFd const directory(
        ::open(entry->path().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat top = {};
    if (!directory || ::fstat(directory.get(), &top) != 0 || top.st_dev != beneath.st_dev) continue;
    if (::flock(directory.get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (!is_same_directory(directory, entry->path())) continue;
    std::error_code ignored;
    std::filesystem::remove_all(entry->path(), ignored);
  }
}

struct LockedDirectory {
  std::filesystem::path path;
  UniqueFd lock;
};

/// A fresh directory below `parent`, locked. Another process may take it for a dead one's before
/// the lock is ours: then there is a next try.
LockedDirectory make_locked(const std::filesystem::path& parent) {
  std::filesystem::create_directories(parent);
  remove_stale(parent);
  for (int i = 0; i < kCreateTriesMax; ++i) {
    std::string pattern = (std::filesystem::absolute(parent) / "XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw Error::from_errno(errno, "create a directory in " + parent.string());
    }
    UniqueFd lock(::open(pattern.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (is_same_directory(lock, pattern)) return {.path = pattern, .lock = std::move(lock)};
  }
  throw Error(ErrorKind::kUnavailable,
              "create a directory in " + parent.string() + ": others remove it again and again");
}

}  // namespace

Mount mount_overlay(const OverlayOptions& options, const std::filesystem::path& target) {
  OpenDirectories const open = open_directories(options);
  if (options.old_call || mount_by_context(open, target) == Tried::kNotKnown) {
    mount_by_options(open, target);
  }
  return Mount::adopt(target);
}

ScratchDirectory ScratchDirectory::create(const std::filesystem::path& parent) {
  ScratchDirectory scratch = create_on_disk(parent);
  scratch.mounted_ = ::mount("tmpfs", scratch.path_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV,
                             kScratchTmpfsOptions) == 0;
  return scratch;
}

ScratchDirectory ScratchDirectory::create_on_disk(const std::filesystem::path& parent) {
  LockedDirectory locked = make_locked(parent);
  ::chmod(locked.path.c_str(), 0711);
  return {std::move(locked.path), std::move(locked.lock)};
}

ScratchDirectory::ScratchDirectory(ScratchDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      lock_(std::move(other.lock_)),
      mounted_(std::exchange(other.mounted_, false)) {}

ScratchDirectory& ScratchDirectory::operator=(ScratchDirectory&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(lock_, other.lock_);
  std::swap(mounted_, other.mounted_);
  return *this;
}

ScratchDirectory::~ScratchDirectory() {
  if (path_.empty()) return;
  if (mounted_ && ::umount2(path_.c_str(), MNT_DETACH) != 0) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace cobuild
