#include "ops/file_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"

namespace cobuild::ops {

namespace {

[[nodiscard]] struct stat stat_open(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw Error::from_errno(errno, "stat an open file");
  return status;
}

}  // namespace

FileTree::FileTree(std::filesystem::path root, Kind kind)
    : root_path_(std::move(root)), kind_(kind), root_fd_(open_file_at_root()) {
  ::clock_gettime(CLOCK_REALTIME, &opened_at_);
  struct stat status{};
  if (::fstat(root_fd_.get(), &status) != 0) {
    throw Error::from_errno(errno, "stat " + root_path_.string());
  }
  root_ = &storage_.emplace_back();
  read_entry(*root_, status);
}

UniqueFd FileTree::open_file_at_root() const {
  // Directories below are opened for reading when they are listed; here O_PATH would do, but a root
  // that cannot be read should be told at once.
  return cobuild::open_file(root_path_, O_RDONLY | O_DIRECTORY);
}

std::unique_ptr<FileTree> FileTree::open(const std::filesystem::path& root, Kind kind) {
  return std::unique_ptr<FileTree>(new FileTree(root, kind));
}

void FileTree::read_entry(Entry& entry, const struct stat& status) const {
  entry.mode = status.st_mode;
  entry.uid = kind_ == Kind::kLocal ? 0 : status.st_uid;
  entry.gid = kind_ == Kind::kLocal ? 0 : status.st_gid;
  entry.device = status.st_dev;
  entry.special = status.st_rdev;
  entry.inode = status.st_ino;
  entry.links = status.st_nlink;
  entry.size = status.st_size;
  entry.modified = status.st_mtim;
  entry.accessed = status.st_atim;
  entry.changed = status.st_ctim;
}

FileTree::Entry& FileTree::add(Entry& parent, std::string name) {
  Entry& entry = storage_.emplace_back();
  entry.name = std::move(name);
  entry.parent = &parent;
  parent.entries.push_back(&entry);
  return entry;
}

FileTree::Entry& FileTree::add(Entry& parent, std::string name, const struct stat& status,
                               std::string link_target) {
  Entry& entry = add(parent, std::move(name));
  entry.link_target = std::move(link_target);
  read_entry(entry, status);
  if (entry.is_regular()) bytes_ += entry.size;
  return entry;
}

UniqueFd FileTree::open_directory(const Entry& directory) const {
  return open_in_root(root_fd_.get(), path_of(directory), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

const std::vector<FileTree::Entry*>& FileTree::list(Entry& directory) {
  if (directory.listed || !directory.is_directory()) return directory.entries;
  UniqueFd const fd = open_directory(directory);
  for (DirectoryEntry& found : list_directory(fd.get())) {
    std::optional<struct stat> const status = stat_at(fd.get(), found.name.c_str());
    if (!status) continue;  // Gone meanwhile.
    std::string target;
    if (S_ISLNK(status->st_mode)) target = read_link_at(fd.get(), found.name.c_str());
    add(directory, std::move(found.name), *status, std::move(target));
  }
  directory.listed = true;
  return directory.entries;
}

FileTree::Entry* FileTree::find_in(Entry& directory, std::string_view name) {
  const std::vector<Entry*>& entries = list(directory);
  auto const found = std::lower_bound(
      entries.begin(), entries.end(), name,
      [](const Entry* entry, std::string_view wanted) { return entry->name < wanted; });
  return found != entries.end() && (*found)->name == name ? *found : nullptr;
}

FileTree::Entry* FileTree::find(std::string_view path, bool follow_last) {
  std::string rest(path);
  Entry* current = root_;
  int links = 0;
  while (!rest.empty()) {
    std::size_t const slash = rest.find('/');
    std::string const name = rest.substr(0, slash);
    rest = slash == std::string::npos ? std::string() : rest.substr(slash + 1);
    if (name.empty() || name == ".") continue;
    if (name == "..") {
      // No link is on the way to `current`, so its parent is what the kernel would take, too.
      if (current->parent != nullptr) current = current->parent;
      continue;
    }
    Entry* const next = find_in(*current, name);
    if (next == nullptr) return nullptr;
    bool const is_last = rest.find_first_not_of('/') == std::string::npos;
    if (!next->is_link() || (is_last && !follow_last)) {
      current = next;
      continue;
    }
    if (++links > kLinksMax)
      throw Error(ErrorKind::kInvalidInput, "too many links: " + std::string(path));
    rest = next->link_target + "/" + rest;
    if (go_path::is_absolute(next->link_target)) current = root_;
  }
  return current;
}

std::string FileTree::path_of(const Entry& entry) const {
  if (entry.parent == nullptr) return "/";
  std::size_t length = 0;
  for (const Entry* e = &entry; e->parent != nullptr; e = e->parent) length += e->name.size() + 1;
  std::string path(length, '/');
  for (const Entry* e = &entry; e->parent != nullptr; e = e->parent) {
    length -= e->name.size();
    e->name.copy(path.data() + length, e->name.size());
    --length;
  }
  return path;
}

Error FileTree::changed_error(const Entry& entry) const {
  std::string what = path_of(entry) + " changed while it was being read";
  if (kind_ == Kind::kLocal) {
    what += ": build again when nobody writes to it, or exclude it with .dockerignore";
  }
  return Error(ErrorKind::kUnavailable, std::move(what));
}

UniqueFd FileTree::open_entry(const Entry& entry, int flags) const {
  int failure = 0;
  UniqueFd fd = try_open_in_root(root_fd_.get(), path_of(entry), flags | O_NOFOLLOW, failure);
  // A link has taken its place, or that of a directory above it.
  if (failure == ELOOP || failure == ENOTDIR) throw changed_error(entry);
  if (!fd) throw Error::from_errno(failure, "open " + path_of(entry));
  return fd;
}

UniqueFd FileTree::open_file(const Entry& entry) const {
  // O_NONBLOCK: a fifo that has taken the file's place must not hang the build.
  UniqueFd fd = open_entry(entry, O_RDONLY | O_NONBLOCK);
  static_cast<void>(has_grown(entry, fd.get()));
  return fd;
}

FileTree::Change FileTree::change_of(const Entry& entry, int fd) const {
  struct stat const status = stat_open(fd);
  if ((status.st_mode & S_IFMT) != (entry.mode & S_IFMT)) return Change::kOther;
  if (kind_ != Kind::kLocal) return Change::kNone;
  if (status.st_mode != entry.mode || status.st_ino != entry.inode) return Change::kOther;
  // Directories also change by what comes and goes in them; an entry of theirs is looked at when
  // it is its turn.
  if (entry.is_directory()) return Change::kNone;
  bool const same = status.st_size == entry.size &&
                    nanoseconds(status.st_mtim) == nanoseconds(entry.modified) &&
                    nanoseconds(status.st_ctim) == nanoseconds(entry.changed);
  if (same) return Change::kNone;
  return entry.is_regular() && status.st_size > entry.size ? Change::kGrown : Change::kOther;
}

void FileTree::check_unchanged(const Entry& entry, int fd) const {
  if (change_of(entry, fd) != Change::kNone) throw changed_error(entry);
}

bool FileTree::has_grown(const Entry& entry, int fd) const {
  Change const change = change_of(entry, fd);
  if (change == Change::kOther) throw changed_error(entry);
  return change == Change::kGrown;
}

void FileTree::look_again(Entry& entry, int fd) {
  struct stat const status = stat_open(fd);
  entry.size = status.st_size;
  entry.modified = status.st_mtim;
  entry.accessed = status.st_atim;
  entry.changed = status.st_ctim;
}

Xattrs FileTree::xattrs_of(const Entry& entry) const {
  UniqueFd const fd = open_entry(entry, O_PATH);
  static_cast<void>(has_grown(entry, fd.get()));
  return read_xattrs_at(fd.get(), "");
}

}  // namespace cobuild::ops
