#include "core/store/snapshotter_native.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <ctime>
#include <map>
#include <string>
#include <system_error>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/store/layered_directory.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kOverlayAttributes = "user.overlay.";

/// (device, inode) of a file in a layer, and its copy: hard links stay hard links.
using Links = std::map<std::pair<dev_t, ino_t>, fs::path>;

/// Without rights all files are ours: that is what an unprivileged build can give.
bool ignorable(int errno_value) {
  return errno_value == EPERM && ::geteuid() != 0;
}

void check(int result, const char* what, const fs::path& path) {
  if (result != 0) throw Error::from_errno(errno, std::string(what) + " " + path.string());
}

UniqueFd open_parent(const fs::path& path) {
  return open_file(path.parent_path(), O_PATH | O_DIRECTORY);
}

/// All but overlayfs's own.
Xattrs read_xattrs(const fs::path& path) {
  Xattrs xattrs = read_xattrs_at(open_parent(path).get(), path.filename().string());
  std::erase_if(xattrs,
                [](const auto& item) { return item.first.starts_with(kOverlayAttributes); });
  return xattrs;
}

void copy_xattrs(const fs::path& from, const fs::path& to) {
  Xattrs const xattrs = read_xattrs(from);
  if (xattrs.empty()) return;
  UniqueFd const parent = open_parent(to);
  for (const auto& [name, value] : xattrs) {
    int const error = set_xattr_at(parent.get(), to.filename().string(), name, value);
    if (error != 0 && error != ENOTSUP && error != EPERM) {
      throw Error::from_errno(error, "set " + name + " on " + to.string());
    }
  }
}

void copy_times(const fs::path& to, const struct stat& status) {
  std::array<timespec, 2> const times{status.st_atim, status.st_mtim};
  check(::utimensat(AT_FDCWD, to.c_str(), times.data(), AT_SYMLINK_NOFOLLOW), "set times of", to);
}

/// Owner first: it clears setuid bits and capabilities.
void copy_metadata(const fs::path& from, const struct stat& status, const fs::path& to) {
  if (::lchown(to.c_str(), status.st_uid, status.st_gid) != 0 && !ignorable(errno)) {
    throw Error::from_errno(errno, "change owner of " + to.string());
  }
  if (!S_ISLNK(status.st_mode)) check(::chmod(to.c_str(), status.st_mode & 07777), "chmod", to);
  copy_xattrs(from, to);
  copy_times(to, status);
}

void copy_content(const fs::path& from, const fs::path& to) {
  UniqueFd const source = open_file(from, O_RDONLY | O_NOFOLLOW);
  UniqueFd target = open_file(to, O_WRONLY | O_CREAT | O_EXCL, 0600);
  copy_file_content(source.get(), target.get());
  target.close();
}

void copy_entry(const MergedEntry& entry, const fs::path& to, Links& links) {
  const struct stat& status = entry.status;
  bool const may_be_linked = status.st_nlink > 1;
  if (may_be_linked) {
    auto const linked = links.find({status.st_dev, status.st_ino});
    if (linked != links.end()) {
      check(::link(linked->second.c_str(), to.c_str()), "link", to);
      return;
    }
  }
  if (S_ISREG(status.st_mode)) {
    copy_content(entry.path, to);
  } else if (S_ISLNK(status.st_mode)) {
    fs::create_symlink(fs::read_symlink(entry.path), to);
  } else {
    check(::mknod(to.c_str(), status.st_mode, status.st_rdev), "make special file", to);
  }
  copy_metadata(entry.path, status, to);
  if (may_be_linked) links.emplace(std::pair(status.st_dev, status.st_ino), to);
}

/// Copies what `stack` shows into the existing directory `to`, without its own metadata.
void copy_merged(const DirectoryStack& stack, const fs::path& to, Links& links) {
  for (const auto& [name, entry] : list_merged(stack)) {
    fs::path const target = to / name;
    if (!S_ISDIR(entry.status.st_mode)) {
      copy_entry(entry, target, links);
      continue;
    }
    check(::mkdir(target.c_str(), 0700), "make directory", target);
    copy_merged(entry.stack, target, links);
    copy_metadata(entry.path, entry.status, target);
  }
}

bool is_after(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

timespec now(clockid_t clock) {
  timespec time = {};
  ::clock_gettime(clock, &time);
  return time;
}

/// A moment such that whatever has changed so far has a ctime up to it, and whatever changes from
/// now on a later one. Inode times are taken from the coarse clock or, since Linux 6.13, between it
/// and the exact one; so wait until the coarse one has passed the exact one: some milliseconds.
timespec draw_line() {
  timespec const line = now(CLOCK_REALTIME);
  while (!is_after(now(CLOCK_REALTIME_COARSE), line)) {
    timespec const nap = {.tv_sec = 0, .tv_nsec = 500'000};
    ::nanosleep(&nap, nullptr);
  }
  return line;
}

/// Moves what an edit changed from `edited` into `upper`, in overlay's form.
class Difference {
 public:
  explicit Difference(timespec line) : line_(line) {}

  /// Returns whether anything in the directory differs. `upper` is made when it does.
  bool take_directory(const DirectoryStack& before, const fs::path& edited, const fs::path& upper) {
    auto old_entries = list_merged(before);
    bool changed = false;
    for (const auto& item : fs::directory_iterator(edited)) {
      std::string const name = item.path().filename().string();
      auto old_entry = old_entries.extract(name);
      bool const taken =
          take_entry(old_entry.empty() ? nullptr : &old_entry.mapped(), item.path(), edited, upper);
      changed = taken || changed;
    }
    for (const auto& [name, entry] : old_entries) {
      make_upper(edited, upper);
      make_whiteout(upper / name);
      changed = true;
    }
    return changed;
  }

  /// After all is moved: moving has touched the times of the directories.
  void finish() {
    for (auto made = made_.rbegin(); made != made_.rend(); ++made)
      copy_times(made->first, made->second);
  }

  /// The directory `upper` exists, like `edited`.
  void make_upper(const fs::path& edited, const fs::path& upper) {
    struct stat status = {};
    if (::lstat(upper.c_str(), &status) == 0) return;
    make_upper(edited.parent_path(), upper.parent_path());
    check(::lstat(edited.c_str(), &status), "stat", edited);
    check(::mkdir(upper.c_str(), 0700), "make directory", upper);
    copy_metadata(edited, status, upper);
    made_.emplace_back(upper, status);
  }

 private:
  bool take_entry(const MergedEntry* before, const fs::path& path, const fs::path& edited,
                  const fs::path& upper) {
    struct stat status = {};
    check(::lstat(path.c_str(), &status), "stat", path);
    fs::path const target = upper / path.filename();
    if (!S_ISDIR(status.st_mode)) {
      if (before != nullptr && !is_after(status.st_ctim, line_)) return false;
      make_upper(edited, upper);
      check(::rename(path.c_str(), target.c_str()), "move", path);
      return true;
    }
    bool const was_directory = before != nullptr && S_ISDIR(before->status.st_mode);
    bool const differs = !was_directory || metadata_differs(*before, path, status);
    if (differs) make_upper(path, target);
    bool const changed =
        take_directory(was_directory ? before->stack : DirectoryStack{}, path, target);
    return changed || differs;
  }

  [[nodiscard]] static bool metadata_differs(const MergedEntry& before, const fs::path& path,
                                             const struct stat& status) {
    if (before.status.st_mode != status.st_mode) return true;
    bool const same_owner =
        before.status.st_uid == status.st_uid && before.status.st_gid == status.st_gid;
    if (!same_owner && ::geteuid() == 0) return true;
    return read_xattrs(path) != read_xattrs(before.path);
  }

  timespec line_;
  std::vector<std::pair<fs::path, struct stat>> made_;
};

/// A copy of the merged tree, removed with the view.
class CopiedView : public View {
 public:
  CopiedView(const ScratchDirectory& copies, const DirectoryStack& stack)
      : copy_(TempDir::create(copies.path(), "view-")), stack_(stack) {
    Links links;
    check(::chmod(copy_.path().c_str(), 0755), "chmod", copy_.path());
    copy_merged(stack_, copy_.path(), links);
    if (!stack_.empty()) copy_root_metadata();
    path_ = copy_.path();
  }
  ~CopiedView() override { remove_quietly(); }
  [[nodiscard]] const fs::path& path() const override { return path_; }
  void close() override {
    Timings::Span const span(Phase::kMount);
    remove_tree(path_);
  }

 protected:
  [[nodiscard]] const DirectoryStack& stack() const { return stack_; }

 private:
  void copy_root_metadata() {
    struct stat status = {};
    check(::lstat(stack_.front().c_str(), &status), "stat", stack_.front());
    copy_metadata(stack_.front(), status, copy_.path());
  }
  void remove_quietly() noexcept {
    try {
      remove_tree(path_);
    } catch (...) {  // the next process removes what we leave in a scratch directory
    }
  }

  TempDir copy_;
  DirectoryStack stack_;
  fs::path path_;
};

class EditedCopy final : public CopiedView {
 public:
  EditedCopy(const ScratchDirectory& copies, const DirectoryStack& stack, fs::path upper)
      : CopiedView(copies, stack), upper_(std::move(upper)) {
    take_root_metadata(upper_, path());
    line_ = draw_line();
  }

  void close() override {
    Timings::Span const span(Phase::kMount);
    take_root_metadata(path(), upper_);
    struct stat root = {};
    check(::lstat(path().c_str(), &root), "stat", path());
    Difference difference(line_);
    difference.take_directory(stack(), path(), upper_);
    difference.finish();
    copy_times(upper_, root);
    CopiedView::close();
  }

 private:
  /// As in an overlay, the upper directory's own are those of the root.
  static void take_root_metadata(const fs::path& from, const fs::path& to) {
    struct stat status = {};
    check(::lstat(from.c_str(), &status), "stat", from);
    copy_metadata(from, status, to);
  }

  fs::path upper_;
  timespec line_ = {};
};

}  // namespace

std::unique_ptr<View> NativeSnapshotter::view(std::vector<fs::path> lowers) {
  Timings::Span const span(Phase::kMount);
  return std::make_unique<CopiedView>(copies_, stack_layers(lowers));
}

std::unique_ptr<View> NativeSnapshotter::edit(std::vector<fs::path> lowers, const NewLayer& upper) {
  return edit(std::move(lowers), upper.fs());
}

std::unique_ptr<View> NativeSnapshotter::edit(std::vector<fs::path> lowers, const fs::path& upper) {
  Timings::Span const span(Phase::kMount);
  return std::make_unique<EditedCopy>(copies_, stack_layers(lowers), upper);
}

}  // namespace cobuild::store
