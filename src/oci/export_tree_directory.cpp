#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/tree.hpp"
#include "oci/export_platform.hpp"
#include "oci/export_tree.hpp"
#include "oci/output_file.hpp"

namespace cobuild::oci {

namespace {

constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

std::string join(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return std::string(directory) + '/' + std::string(name);
}

/// A directory of one of the trees.
struct Source {
  std::size_t tree;
  UniqueFd fd;
};

/// Merges trees into a directory, level by level. Both sides are opened one component at a time and
/// never through a link, so whatever links are there, nothing outside is read or written.
class DirectoryExport {
 public:
  DirectoryExport(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                  const ExportProgress& progress)
      : trees_(trees), options_(options), progress_(progress) {
    if (options.epoch) {
      auto const seconds = std::chrono::floor<std::chrono::seconds>(*options.epoch);
      epoch_ = timespec{static_cast<time_t>(seconds.time_since_epoch().count()),
                        static_cast<long>((*options.epoch - seconds).count())};
    }
  }

  void run(const std::filesystem::path& directory) {
    try {
      make_root(directory);
      write();
    } catch (...) {
      remove_what_was_made();
      throw;
    }
  }

 private:
  void make_root(const std::filesystem::path& directory) {
    make_parents(directory.parent_path());
    if (::mkdir(directory.c_str(), 0700) == 0) {
      made_directories_.push_back(directory);
    } else if (errno != EEXIST) {
      throw Error::from_errno(errno, "make the directory " + directory.string());
    }
    root_ = open_file(directory, O_RDONLY | O_DIRECTORY);
  }

  /// As far as it can: that one is missing is told by who needs it.
  void make_parents(const std::filesystem::path& directory) {
    if (directory.empty() || ::access(directory.c_str(), F_OK) == 0) return;
    if (directory != directory.parent_path()) make_parents(directory.parent_path());
    if (::mkdir(directory.c_str(), 0777) == 0) made_directories_.push_back(directory);
  }

  /// Nothing half-written stays; what was there before is not ours to remove.
  void remove_what_was_made() {
    for (const std::string& path : made_) {
      try {
        remove_tree_at(root_.get(), path);
      } catch (const Error&) {
        continue;  // what ended the export is what the user hears of
      }
    }
    for (auto path = made_directories_.rbegin(); path != made_directories_.rend(); ++path) {
      ::rmdir(path->c_str());
    }
  }

  void write() {
    if (options_.split_platforms) return write_platforms();
    std::vector<Source> sources;
    for (std::size_t i = 0; i < trees_.size(); ++i) {
      if (!trees_[i].root.empty())
        sources.push_back({i, open_file(trees_[i].root, O_RDONLY | O_DIRECTORY)});
    }
    merge(sources, root_.get(), "");
  }

  void write_platforms() {
    std::set<std::string> names;
    for (std::size_t i = 0; i < trees_.size(); ++i) {
      prefix_ = platform_directory(trees_[i].platform);
      names.insert(prefix_);
      UniqueFd const directory = make_directory(root_.get(), prefix_, prefix_);
      std::vector<Source> sources;
      if (!trees_[i].root.empty())
        sources.push_back({i, open_file(trees_[i].root, O_RDONLY | O_DIRECTORY)});
      merge(sources, directory.get(), prefix_);
      ::fchmod(directory.get(), 0755);
      set_times(directory.get(), epoch_.value_or(timespec{0, 0}), prefix_);
    }
    if (options_.mode == TreeExportOptions::Mode::kDelete) remove_others(root_.get(), names);
  }

  /// What all `sources` have goes to `target`; `path` is where that is, for messages.
  void merge(const std::vector<Source>& sources, int target, const std::string& path) {
    std::map<std::string, std::vector<std::size_t>> holders;  // Which sources have a name.
    for (std::size_t i = 0; i < sources.size(); ++i) {
      for (const DirectoryEntry& entry : list_directory(sources[i].fd.get()))
        holders[entry.name].push_back(i);
    }
    std::set<std::string> names;
    for (const auto& [name, indices] : holders) {
      names.insert(name);
      merge_entry(sources, indices, target, name, join(path, name));
    }
    if (options_.mode == TreeExportOptions::Mode::kDelete) remove_others(target, names);
  }

  void merge_entry(const std::vector<Source>& sources, const std::vector<std::size_t>& indices,
                   int target, const std::string& name, const std::string& path) {
    const Source& first = sources[indices.front()];
    std::optional<struct stat> const status = stat_at(first.fd.get(), name.c_str());
    if (!status || S_ISSOCK(status->st_mode)) return;
    bool all_directories = true;
    for (std::size_t const i : indices) {
      std::optional<struct stat> const other = stat_at(sources[i].fd.get(), name.c_str());
      all_directories = all_directories && other && S_ISDIR(other->st_mode);
    }
    if (all_directories) {
      std::vector<Source> children;
      for (std::size_t const i : indices) {
        children.push_back({sources[i].tree, open_child(sources[i].fd.get(), name, path)});
      }
      UniqueFd const directory = make_directory(target, name, path);
      merge(children, directory.get(), path);
      copy_metadata(first.fd.get(), name, *status, directory.get(), path);
      return;
    }
    if (indices.size() > 1) {
      throw Error(ErrorKind::kInvalidInput,
                  "cannot overwrite " + path + " from " + trees_[first.tree].platform + " with " +
                      trees_[sources[indices[1]].tree].platform + " when split option is disabled");
    }
    write_leaf(first, target, name, path, *status);
  }

  static UniqueFd open_child(int parent, const std::string& name, const std::string& path) {
    int const fd = ::openat(parent, name.c_str(), kDirectoryFlags);
    if (fd < 0) throw Error::from_errno(errno, "open the directory /" + path);
    return UniqueFd(fd);
  }

  /// Notes that there was nothing at `path`, unless it is in a directory that is noted already.
  /// Entries are made in order, so that this is the latest one or none.
  void will_make(const std::string& path) {
    if (!made_.empty() && path.starts_with(made_.back() + "/")) return;
    made_.push_back(path);
  }

  /// Opens `name`, which becomes a directory if it is none.
  UniqueFd make_directory(int parent, const std::string& name, const std::string& path) {
    std::optional<struct stat> const status = stat_at(parent, name.c_str());
    if (!status) will_make(path);
    if (status && !S_ISDIR(status->st_mode)) remove_tree_at(parent, name);
    if (::mkdirat(parent, name.c_str(), 0700) != 0 && errno != EEXIST) {
      throw write_error(errno, "the directory " + name);
    }
    int fd = ::openat(parent, name.c_str(), kDirectoryFlags);
    if (fd < 0 && errno == EACCES && ::fchmodat(parent, name.c_str(), 0700, 0) == 0) {
      fd = ::openat(parent, name.c_str(), kDirectoryFlags);
    }
    if (fd < 0) throw Error::from_errno(errno, "open the directory " + name);
    // The tree's mode comes when all is in it: it may forbid us to write.
    ::fchmod(fd, 0700);
    return UniqueFd(fd);
  }

  /// Anything but a directory. A file that is there is replaced in one step.
  void write_leaf(const Source& source, int target, const std::string& name,
                  const std::string& path, const struct stat& status) {
    std::optional<struct stat> const old = stat_at(target, name.c_str());
    if (old && S_ISDIR(old->st_mode)) remove_tree_at(target, name);
    if (!old) will_make(path);
    std::string const temporary = ".tmp." + unique_ + "." + std::to_string(++counter_);
    try {
      if (!write_hard_link(target, temporary, path, status)) {
        write_new(source, target, name, temporary, path, status);
      }
      if (::renameat(target, temporary.c_str(), target, name.c_str()) != 0) {
        throw Error::from_errno(errno, "rename to " + path);
      }
    } catch (...) {
      ::unlinkat(target, temporary.c_str(), 0);
      throw;
    }
    // rename() does nothing when both names are the same file already.
    ::unlinkat(target, temporary.c_str(), 0);
    if (progress_) progress_(written_);
  }

  bool write_hard_link(int target, const std::string& temporary, const std::string& path,
                       const struct stat& status) {
    if (status.st_nlink < 2) return false;
    std::pair<dev_t, ino_t> const key(status.st_dev, status.st_ino);
    if (auto first = first_names_.find(key); first != first_names_.end()) {
      if (::linkat(root_.get(), first->second.c_str(), target, temporary.c_str(), 0) == 0)
        return true;
      if (errno != EMLINK) throw Error::from_errno(errno, "link " + path);
    }
    return false;
  }

  void write_new(const Source& source, int target, const std::string& name,
                 const std::string& temporary, const std::string& path, const struct stat& status) {
    int const from = source.fd.get();
    if (S_ISREG(status.st_mode)) {
      write_file(from, name, target, temporary, path);
      written_ += static_cast<std::uint64_t>(status.st_size);
    } else if (S_ISLNK(status.st_mode)) {
      std::string const link = link_below(prefix_, read_link_at(from, name.c_str()));
      if (::symlinkat(link.c_str(), target, temporary.c_str()) != 0) throw write_error(errno, path);
    } else if (::mknodat(target, temporary.c_str(), (status.st_mode & S_IFMT) | 0600,
                         status.st_rdev) != 0) {
      if (errno == EPERM) {
        throw Error(ErrorKind::kDenied,
                    "make the device " + path +
                        ": only root may. Export a tar, or leave it out of the result");
      }
      throw write_error(errno, path);
    }
    copy_leaf_metadata(from, name, status, target, temporary, path);
    if (status.st_nlink > 1) first_names_.emplace(std::pair(status.st_dev, status.st_ino), path);
  }

  static void write_file(int from, const std::string& name, int target,
                         const std::string& temporary, const std::string& path) {
    int const in = ::openat(from, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0) throw Error::from_errno(errno, "open /" + path);
    UniqueFd const source(in);
    int const out =
        ::openat(target, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0) throw write_error(errno, path);
    UniqueFd file(out);
    try {
      copy_file_content(source.get(), file.get());
    } catch (const Error& error) {
      throw error.with_context("write " + path);
    }
    file.close();
  }

  void copy_leaf_metadata(int from, const std::string& name, const struct stat& status, int target,
                          const std::string& made, const std::string& path) {
    if (::fchownat(target, made.c_str(), ::geteuid(), ::getegid(), AT_SYMLINK_NOFOLLOW) != 0) {
      throw Error::from_errno(errno, "set the owner of " + path);
    }
    copy_xattrs(from, name, target, made);
    if (!S_ISLNK(status.st_mode) &&
        ::fchmodat(target, made.c_str(), status.st_mode & 07777, 0) != 0) {
      throw Error::from_errno(errno, "set the mode of " + path);
    }
    timespec const time = epoch_.value_or(status.st_mtim);
    timespec const times[2] = {time, time};
    if (::utimensat(target, made.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
      throw Error::from_errno(errno, "set the time of " + path);
    }
  }

  void copy_metadata(int from, const std::string& name, const struct stat& status, int directory,
                     const std::string& path) {
    if (::fchown(directory, ::geteuid(), ::getegid()) != 0) {
      throw Error::from_errno(errno, "set the owner of " + path);
    }
    copy_xattrs(from, name, directory, "");
    if (::fchmod(directory, status.st_mode & 07777) != 0) {
      throw Error::from_errno(errno, "set the mode of " + path);
    }
    set_times(directory, epoch_.value_or(status.st_mtim), path);
  }

  /// As far as the destination takes them: BuildKit ignores failures too.
  static void copy_xattrs(int from, const std::string& name, int target, const std::string& made) {
    for (const auto& [key, value] : read_xattrs_at(from, name)) {
      if (key.starts_with("trusted.") || key.starts_with("user.overlay.")) continue;
      (void)set_xattr_at(target, made, key, value);
    }
  }

  static void set_times(int fd, timespec time, const std::string& path) {
    timespec const times[2] = {time, time};
    if (::futimens(fd, times) != 0) throw Error::from_errno(errno, "set the time of " + path);
  }

  static void remove_others(int target, const std::set<std::string>& names) {
    for (const DirectoryEntry& entry : list_directory(target)) {
      if (!names.contains(entry.name)) remove_tree_at(target, entry.name);
    }
  }

  const std::vector<ExportTree>& trees_;
  const TreeExportOptions& options_;
  const ExportProgress& progress_;
  std::optional<timespec> epoch_;
  std::string prefix_;
  std::vector<std::string> made_;  ///< Paths in the root; for a directory all of it.
  std::vector<std::filesystem::path> made_directories_;         ///< The root and those above it.
  UniqueFd root_;                                               ///< Of the destination.
  std::map<std::pair<dev_t, ino_t>, std::string> first_names_;  ///< Of files with several.
  std::uint64_t written_ = 0;
  std::string const unique_ = random_name();
  unsigned counter_ = 0;
};

}  // namespace

void write_tree_directory(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                          const std::filesystem::path& directory, const ExportProgress& progress) {
  DirectoryExport(trees, options, progress).run(directory);
}

}  // namespace cobuild::oci
