#include "oci/tree_walk.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::oci {
namespace {

class TreeWalk {
 public:
  TreeWalk(const std::filesystem::path& root, const TreeVisit& visit)
      : root_(open_file(root, O_PATH | O_DIRECTORY)), visit_(visit) {}

  void walk(const std::string& directory) {
    int const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd fd(::openat(root_.get(), directory.empty() ? "." : directory.c_str(), flags));
    if (fd.get() < 0) throw Error::from_errno(errno, "open the directory /" + directory);
    std::vector<DirectoryEntry> const entries = list_directory(fd.get());
    fd.close();  // Before going deeper: descriptors are few, directories are not.
    for (const DirectoryEntry& entry : entries) {
      std::string const path = directory.empty() ? entry.name : directory + '/' + entry.name;
      std::optional<struct stat> const status = stat_at(root_.get(), path.c_str());
      if (!status || S_ISSOCK(status->st_mode)) continue;
      visit_entry(path, *status);
      if (S_ISDIR(status->st_mode)) walk(path);
    }
  }

  void visit_entry(const std::string& path, const struct stat& status) {
    std::string const& place = path.empty() ? kSelf : path;
    TarHeader header = header_of_file(root_.get(), place, status);
    for (auto& [key, value] : read_xattrs_at(root_.get(), place)) {
      // Marks of the store's layers, seen where a tree is read without a mount.
      if (key.starts_with("user.overlay.") || key.starts_with("trusted.overlay.")) continue;
      header.records["SCHILY.xattr." + key] = value;
    }
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      auto const [first, is_first] = names_.emplace(status.st_ino, header.name);
      if (!is_first) {
        header.type = TarType::kHardLink;
        header.link_name = first->second;
        header.size = 0;
      }
    }
    visit_(std::move(header), TreeFile{root_.get(), path, status});
  }

  [[nodiscard]] struct stat root_status() const { return stat_at(root_.get(), ".").value(); }

 private:
  static inline const std::string kSelf = ".";

  UniqueFd root_;
  const TreeVisit& visit_;
  std::unordered_map<ino_t, std::string> names_;  ///< Of files with several: the first.
};

}  // namespace

TarHeader header_of_file(int directory_fd, const std::string& path, const struct stat& status) {
  TarHeader header;
  header.name = path;
  header.mode = status.st_mode & 07777;
  header.uid = status.st_uid;
  header.gid = status.st_gid;
  header.mtime = status.st_mtim.tv_sec;
  switch (status.st_mode & S_IFMT) {
    case S_IFDIR:
      header.type = TarType::kDirectory;
      header.name += '/';
      break;
    case S_IFLNK:
      header.type = TarType::kSymlink;
      header.link_name = read_link_at(directory_fd, path.c_str());
      break;
    case S_IFIFO: header.type = TarType::kFifo; break;
    case S_IFCHR:
    case S_IFBLK:
      header.type = S_ISCHR(status.st_mode) ? TarType::kCharDevice : TarType::kBlockDevice;
      header.device_major = major(status.st_rdev);
      header.device_minor = minor(status.st_rdev);
      break;
    default: header.size = status.st_size; break;
  }
  return header;
}

UniqueFd TreeFile::open() const {
  UniqueFd file(::openat(root_fd, path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (file.get() < 0) throw Error::from_errno(errno, "open /" + path);
  return file;
}

void walk_tree(const std::filesystem::path& root, const TreeVisit& visit) {
  TreeWalk(root, visit).walk("");
}

void visit_tree_root(const std::filesystem::path& root, const TreeVisit& visit) {
  TreeWalk walk(root, visit);
  walk.visit_entry("", walk.root_status());
}

}  // namespace cobuild::oci
