#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/tree.hpp"
#include "oci/export_platform.hpp"
#include "oci/export_tree.hpp"
#include "oci/output_file.hpp"
#include "oci/tar_header.hpp"
#include "oci/tar_stream.hpp"

namespace cobuild::oci {

namespace {

std::string join(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return std::string(directory) + '/' + std::string(name);
}

/// Go rounds where the format holds seconds only.
std::int64_t to_seconds(const struct stat& status) {
  return status.st_mtim.tv_sec + (status.st_mtim.tv_nsec >= 500'000'000 ? 1 : 0);
}

/// Writes one tree, below a directory of its own if it has a prefix.
class TreeArchive {
 public:
  TreeArchive(const std::filesystem::path& root, std::string prefix,
              const TreeExportOptions& options, TarStream& out)
      : root_(open_file(root, O_PATH | O_DIRECTORY)), prefix_(std::move(prefix)), out_(out) {
    if (options.epoch) {
      epoch_ = std::chrono::floor<std::chrono::seconds>(*options.epoch).time_since_epoch().count();
    }
  }

  void walk(const std::string& directory) {
    int const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd fd(::openat(root_.get(), directory.empty() ? "." : directory.c_str(), flags));
    if (fd.get() < 0) throw Error::from_errno(errno, "open the directory /" + directory);
    std::vector<DirectoryEntry> const entries = list_directory(fd.get());
    fd.close();  // Before going deeper: descriptors are few, directories are not.
    for (const DirectoryEntry& entry : entries) {
      std::string const path = join(directory, entry.name);
      std::optional<struct stat> const status = stat_at(root_.get(), path.c_str());
      if (!status || S_ISSOCK(status->st_mode)) continue;
      write_entry(path, *status);
      if (S_ISDIR(status->st_mode)) walk(path);
    }
  }

 private:
  void write_entry(const std::string& path, const struct stat& status) {
    TarHeader header;
    header.name = join(prefix_, path);
    header.mode = status.st_mode & 07777;
    header.uid = status.st_uid;
    header.gid = status.st_gid;
    header.mtime = epoch_.value_or(to_seconds(status));
    set_type(header, path, status);
    for (auto& [key, value] : read_xattrs_at(root_.get(), path)) {
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
    out_.write(format_tar_header(header));
    if (header.type == TarType::kRegular && header.size > 0) {
      UniqueFd const file(::openat(root_.get(), path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
      if (file.get() < 0) throw Error::from_errno(errno, "open /" + path);
      out_.write_file(file.get(), static_cast<std::uint64_t>(header.size), path);
    }
  }

  void set_type(TarHeader& header, const std::string& path, const struct stat& status) const {
    switch (status.st_mode & S_IFMT) {
      case S_IFDIR:
        header.type = TarType::kDirectory;
        header.name += '/';
        break;
      case S_IFLNK:
        header.type = TarType::kSymlink;
        header.link_name = link_below(prefix_, read_link_at(root_.get(), path.c_str()));
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
  }

  UniqueFd root_;
  std::string prefix_;
  TarStream& out_;
  std::optional<std::int64_t> epoch_;
  std::unordered_map<ino_t, std::string> names_;  ///< Of files with several: the first.
};

void write_trees(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                 TarStream& out) {
  std::vector<ExportTree> sorted = trees;
  if (options.split_platforms) {
    std::sort(sorted.begin(), sorted.end(), [](const ExportTree& a, const ExportTree& b) {
      return platform_directory(a.platform) < platform_directory(b.platform);
    });
  }
  for (const ExportTree& tree : sorted) {
    std::string const prefix = options.split_platforms ? platform_directory(tree.platform) : "";
    if (!prefix.empty()) {
      Timestamp const time = options.epoch.value_or(Timestamp());
      out.write(format_tar_header(
          {.name = prefix + "/",
           .type = TarType::kDirectory,
           .mode = 0755,
           .mtime = std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count()}));
    }
    if (!tree.root.empty()) TreeArchive(tree.root, prefix, options, out).walk("");
  }
  out.write(tar_end());
  out.flush();
}

void write_archive(const std::vector<ExportTree>& trees, const TreeExportOptions& options, int fd,
                   const std::string& what, const ExportProgress& progress) {
  std::uint64_t written = 0;
  TarStream out([&](std::span<const std::byte> data) {
    write_fully(fd, data, what);
    written += data.size();
    if (progress) progress(written);
  });
  write_trees(trees, options, out);
}

}  // namespace

void write_tree_archive(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                        int out_fd, const ExportProgress& progress) {
  write_archive(trees, options, out_fd, "the archive", progress);
}

void write_tree_archive(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                        const std::filesystem::path& path, const ExportProgress& progress) {
  OutputFile file(path, 0666);
  write_archive(trees, options, file.fd(), path.string(), progress);
  file.commit();
}

}  // namespace cobuild::oci
