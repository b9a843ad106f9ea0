// What EntryCopier does: one walk over the source, with files left to several threads.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "core/async/runtime.hpp"
#include "core/base/go_path.hpp"
#include "core/sys/tree.hpp"
#include "ops/copy_content.hpp"
#include "ops/copy_tree.hpp"
#include "ops/worker_threads.hpp"

namespace cobuild::ops {

namespace {

constexpr mode_t kPermissionBits = 07777;

/// Files that one thread copies at a time: enough to be worth handing over.
constexpr std::size_t kBatchFilesMax = 32;
constexpr std::int64_t kBatchBytesMax = 8 << 20;

using Entry = FileTree::Entry;

}  // namespace

/// One copy of one source. Hard links are kept among what it copies.
class EntryCopier::Impl {
 public:
  Impl(FileTree& tree, const TargetRoot& target, const CopyOptions& options)
      : tree_(tree),
        options_(options),
        has_include_(!options.include_patterns.empty()),
        has_exclude_(!options.exclude_patterns.empty()),
        include_(compile_patterns(options.include_patterns, "includepatterns")),
        exclude_(compile_patterns(options.exclude_patterns, "excludepatterns")),
        target_(target),
        workers_(cpus_allowed()) {}

  void run(Entry& source, const std::string& path) {
    Level base;
    TargetRoot::Place place;
    if (!options_.only_compare) {
      place = target_.place(path, "open");
      base.fd = std::make_shared<const UniqueFd>(std::move(place.directory));
    }
    Node node{.source = &source,
              .parent = &base,
              .name = std::move(place.name),
              .path = path,
              .relative = {},
              .include = {},
              .exclude = {}};
    copy(node, false);
    hand_out(base);
    workers_.finish();
    make_links();
    finish_directories();
  }

  void metadata_only(const Entry& source, const std::string& path) {
    TargetRoot::Place const place = target_.place(path, "open");
    copy_owner_and_mode(source, place.directory.get(), place.name, path);
    copy_xattrs(tree_.xattrs_of(source), place.directory.get(), place.name);
    copy_times(source, place.directory.get(), place.name, path);
  }

 private:
  /// A regular file to copy.
  struct FileJob {
    Entry* source;
    std::string name;
    std::string path;
  };

  /// A directory of the target. With include patterns it is made only when something in it is.
  struct Level {
    Level* parent = nullptr;
    Entry* source = nullptr;
    std::string name;
    std::string path;
    bool made = true;
    bool noted = false;    ///< In the ledger, though it is not made yet.
    bool fresh = false;    ///< Made by this copy: nothing can be in the way there.
    bool touched = false;  ///< An entry of it was made, which changes its times.
    std::shared_ptr<const UniqueFd> fd = {};  ///< Shared with the jobs for files in it.
    std::vector<FileJob> files = {};          ///< Not handed out yet.
    std::int64_t files_bytes = 0;
  };

  /// One thing to copy.
  struct Node {
    Entry* source;
    Level* parent;         ///< Where it goes, ...
    std::string name;      ///< ... under which name.
    std::string path;      ///< The same, for messages.
    std::string relative;  ///< To the top source; what patterns see.
    PatternSet::ParentState include;
    PatternSet::ParentState exclude;
  };

  /// What waits until all files are there: a link to one of them, ...
  struct LinkJob {
    const Entry* source;
    std::string target;
    std::string path;
  };

  /// ... and what a directory's times, or all of its metadata, are to be.
  struct DirectoryJob {
    const Entry* source;
    std::string path;
    bool times_only;
  };

  struct Filtered {
    bool include = true;
    bool excluded = false;
  };

  Filtered filter(Node& node, const Node* directory) const {
    Filtered result;
    if (directory == nullptr) return result;  // A source itself is never filtered (F10.12).
    if (has_include_) {
      result.include = include_.match(node.relative, directory->include, &node.include).matched;
    }
    if (has_exclude_ && exclude_.match(node.relative, directory->exclude, &node.exclude).matched) {
      result = {.include = false, .excluded = true};
    }
    return result;
  }

  void check_stop() const {
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
      throw Error(ErrorKind::kCancelled, "stopped");
    }
  }

  /// The descriptor of a target directory, or -1 when it does not exist.
  int open_level(Level& level) {
    if (level.fd) return level.fd->get();
    int const parent = open_level(*level.parent);
    if (parent < 0) return -1;
    int const fd =
        ::openat(parent, level.name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return -1;
      throw path_error("open", level.path, errno);
    }
    level.fd = std::make_shared<const UniqueFd>(fd);
    return fd;
  }

  std::optional<struct stat> target_status(const Node& node) {
    if (node.parent->fresh) return std::nullopt;
    int const fd = open_level(*node.parent);
    if (fd < 0) return std::nullopt;
    return stat_at(fd, node.name.c_str());
  }

  void copy(Node& node, bool overwrite_metadata, const Node* directory = nullptr) {
    check_stop();
    Filtered const filtered = filter(node, directory);
    Entry& source = *node.source;
    if (!filtered.include && !source.is_directory()) return;
    bool const unchanged =
        filtered.include && options_.ledger != nullptr && is_unchanged(node, overwrite_metadata);
    if (options_.only_compare) return compare_children(node, filtered);
    if (unchanged) {
      if (source.is_directory()) copy_unchanged_directory(node, overwrite_metadata, filtered);
      return;
    }
    std::optional<struct stat> const before = target_status(node);
    if (filtered.include) {
      if (options_.always_replace && before &&
          !(source.is_directory() && S_ISDIR(before->st_mode))) {
        replace(node, S_ISDIR(before->st_mode));
      }
      make_levels(*node.parent, overwrite_metadata);
    }
    if (source.is_directory()) {
      copy_directory(node, overwrite_metadata, filtered, before.has_value());
      return;
    }
    make_room_for_file(node);
    node.parent->touched = true;
    copy_non_directory(node);
  }

  bool is_unchanged(const Node& node, bool overwrite_metadata) {
    note_levels(*node.parent);
    if (options_.ledger->is_unchanged(node.path, *node.source)) return true;
    // A directory that is copied as such gets its metadata only where there was none before, and
    // the former copy may have made it.
    bool const is_itself_copied =
        node.source->is_directory() && !overwrite_metadata && !options_.copy_dir_contents;
    if (is_itself_copied && is_amending()) options_.ledger->give_up();
    return false;
  }

  bool is_amending() const { return options_.ledger != nullptr && options_.ledger->is_amending(); }

  /// Directories that wait for an entry, and now have one.
  void note_levels(Level& level) {
    if (level.made || level.noted) return;
    note_levels(*level.parent);
    level.noted = true;
    options_.ledger->add_level(level.path, *level.source);
  }

  void compare_children(Node& node, Filtered filtered) {
    if (!node.source->is_directory()) return;
    Level level{.parent = node.parent, .source = node.source, .name = node.name, .path = node.path};
    level.made = filtered.include;
    copy_children(node, level, filtered);
  }

  void replace(const Node& node, bool is_directory) {
    // A directory comes or goes: the layer gets marks that only mean something on what is below it.
    if (options_.ledger != nullptr && (is_directory || node.source->is_directory())) {
      options_.ledger->give_up();
    }
    remove_tree_at(open_level(*node.parent), node.name);
  }

  /// It is there as it should be, unless something in it changes.
  void copy_unchanged_directory(Node& node, bool overwrite_metadata, Filtered filtered) {
    Level level{.parent = node.parent, .source = node.source, .name = node.name, .path = node.path};
    copy_children(node, level, filtered);
    if (level.touched) directories_.push_back({node.source, node.path, !overwrite_metadata});
  }

  void copy_children(Node& node, Level& level, Filtered filtered) {
    if (filtered.excluded && !(has_exclude_ && exclude_.has_negations())) return;
    for (Entry* child : tree_.list(*node.source)) copy_child(node, level, *child);
    hand_out(level);
  }

  void copy_directory(Node& node, bool overwrite_metadata, Filtered filtered, bool existed) {
    bool created = false;
    Level level{.parent = node.parent,
                .source = node.source,
                .name = node.name,
                .path = node.path,
                .made = false};
    if (filtered.include) {
      if (existed && overwrite_metadata && is_amending()) check_attributes(node);
      created = make_directory(level, overwrite_metadata);
      level.made = true;
      if (created) node.parent->touched = true;
    }
    copy_children(node, level, filtered);
    if (!filtered.include) return;
    // Later: what is put into the directory changes its times.
    bool const all = overwrite_metadata || created;
    if (all || existed) directories_.push_back({node.source, node.path, !all});
  }

  /// An attribute of a former copy's directory stays there, but would not be there without it.
  void check_attributes(const Node& node) {
    Xattrs const wanted = tree_.xattrs_of(*node.source);
    for (const auto& [name, value] : read_xattrs_at(open_level(*node.parent), node.name)) {
      if (name.starts_with("user.overlay.") || !name.starts_with("user.")) continue;
      auto const has_name = [&](const auto& one) { return one.first == name; };
      if (std::none_of(wanted.begin(), wanted.end(), has_name)) options_.ledger->give_up();
    }
  }

  void finish_directories() {
    for (const DirectoryJob& job : std::exchange(directories_, {})) {
      TargetRoot::Place const place = target_.place(job.path, "open");
      int const parent = place.directory.get();
      if (!job.times_only) {
        copy_owner_and_mode(*job.source, parent, place.name, job.path);
        copy_xattrs(tree_.xattrs_of(*job.source), parent, place.name);
      }
      copy_times(*job.source, parent, place.name, job.path);
    }
  }

  void copy_child(const Node& directory, Level& level, Entry& child) {
    Node node{.source = &child,
              .parent = &level,
              .name = child.name,
              .path = go_path::join(directory.path, child.name),
              .relative = go_path::join(directory.relative, child.name),
              .include = {},
              .exclude = {}};
    copy(node, true, &directory);
  }

  /// Makes directories that waited for their first entry.
  void make_levels(Level& level, bool overwrite_metadata) {
    if (level.made) return;
    make_levels(*level.parent, overwrite_metadata);
    level.made = true;
    if (!make_directory(level, overwrite_metadata)) return;
    level.parent->touched = true;
    int const parent = open_level(*level.parent);
    copy_metadata(*level.source, parent, level.name, level.path);
    copy_xattrs(tree_.xattrs_of(*level.source), parent, level.name);
  }

  /// True when it did not exist.
  bool make_directory(Level& level, bool overwrite_metadata) {
    int const parent = open_level(*level.parent);
    mode_t const mode = level.source->mode & kPermissionBits;
    std::optional<struct stat> const found = stat_at(parent, level.name.c_str());
    if (!found) {
      if (::mkdirat(parent, level.name.c_str(), mode) != 0) {
        throw path_error("mkdir", level.path, errno);
      }
      level.fresh = true;
      return true;
    }
    if (!S_ISDIR(found->st_mode)) {
      throw Error(ErrorKind::kInvalidInput, "cannot copy to non-directory: " + level.path);
    }
    if (overwrite_metadata && ::fchmodat(parent, level.name.c_str(), mode, 0) != 0) {
      throw path_error("chmod", level.path, errno);
    }
    return false;
  }

  void make_room_for_file(const Node& node) {
    if (node.parent->fresh) return;
    int const parent = open_level(*node.parent);
    if (::unlinkat(parent, node.name.c_str(), 0) == 0 || errno == ENOENT) return;
    if (errno == EISDIR || errno == EPERM) {
      throw Error(ErrorKind::kInvalidInput,
                  "cannot replace to directory " + node.path + " with file");
    }
    throw path_error("remove", node.path, errno);
  }

  void copy_non_directory(const Node& node) {
    const Entry& source = *node.source;
    int const parent = open_level(*node.parent);
    if (source.is_regular()) return copy_regular(node);
    if (source.is_link()) {
      if (::symlinkat(source.link_target.c_str(), parent, node.name.c_str()) != 0) {
        throw path_error("symlink", node.path, errno);
      }
    } else {
      // A socket is of no use to anybody later: an empty file stands for it, as in BuildKit.
      mode_t const mode =
          S_ISSOCK(source.mode) ? S_IFREG | (source.mode & kPermissionBits) : source.mode;
      bool const is_device = S_ISCHR(source.mode) || S_ISBLK(source.mode);
      if (::mknodat(parent, node.name.c_str(), mode, is_device ? source.special : 0) != 0) {
        throw path_error("mknod", node.path, errno);
      }
    }
    copy_metadata(source, parent, node.name, node.path);
    copy_xattrs(tree_.xattrs_of(source), node);
  }

  /// For one of the threads; later, or at once when there are many.
  void copy_regular(const Node& node) {
    Entry& source = *node.source;
    if (source.links > 1) {
      auto const [known, is_first] = linked_.try_emplace({source.device, source.inode}, &source,
                                                         node.path.substr(1), node.path);
      if (!is_first) {
        if (source.size != known->second.source->size) throw tree_.changed_error(source);
        links_.push_back({&source, known->second.target, node.path});
        return;
      }
    }
    Level& level = *node.parent;
    level.files.push_back({&source, node.name, node.path});
    level.files_bytes += source.size;
    if (level.files.size() >= kBatchFilesMax || level.files_bytes >= kBatchBytesMax) {
      hand_out(level);
    }
  }

  void hand_out(Level& level) {
    if (level.files.empty()) return;
    open_level(level);
    workers_.submit([this, directory = level.fd, files = std::exchange(level.files, {})] {
      for (const FileJob& file : files) copy_file(file, directory->get());
    });
    level.files_bytes = 0;
  }

  /// On any thread.
  void copy_file(const FileJob& file, int parent) const {
    check_stop();
    Entry& source = *file.source;
    UniqueFd const from = tree_.open_file(source);
    UniqueFd to(::openat(parent, file.name.c_str(),
                         O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!to) throw path_error("open", file.path, errno);
    try {
      copy_content(tree_, source, from.get(), to.get());
      to.close();
    } catch (const Error& error) {
      throw error.with_context("copy " + tree_.path_of(source) + " to " + file.path);
    }
    copy_metadata(source, parent, file.name, file.path);
    copy_xattrs(read_xattrs_at(from.get(), ""), parent, file.name);
    static_cast<void>(tree_.has_grown(source, from.get()));
  }

  void make_links() {
    for (const LinkJob& link : std::exchange(links_, {})) {
      TargetRoot::Place const place = target_.place(link.path, "link");
      int const parent = place.directory.get();
      if (::linkat(target_.fd(), link.target.c_str(), parent, place.name.c_str(), 0) != 0) {
        throw path_error("link", link.path, errno);
      }
      copy_metadata(*link.source, parent, place.name, link.path);
    }
  }

  void copy_metadata(const Entry& source, int parent, const std::string& name,
                     const std::string& path) const {
    copy_owner_and_mode(source, parent, name, path);
    copy_times(source, parent, name, path);
  }

  void copy_owner_and_mode(const Entry& source, int parent, const std::string& name,
                           const std::string& path) const {
    change_owner(parent, name, path,
                 options_.owner.value_or(Owner{.uid = source.uid, .gid = source.gid}));
    if (!source.is_link()) {
      mode_t mode = source.mode & kPermissionBits;
      if (options_.mode_change) {
        mode = options_.mode_change->apply(source.mode);
      } else if (options_.mode) {
        mode = *options_.mode & kPermissionBits;
      }
      if (::fchmodat(parent, name.c_str(), mode, 0) != 0) throw path_error("chmod", path, errno);
    }
  }

  void copy_times(const Entry& source, int parent, const std::string& name,
                  const std::string& path) const {
    std::array<timespec, 2> times{source.accessed, source.modified};
    // The root of a context is nobody's: its metadata is not transferred.
    bool const is_nobodys = source.parent == nullptr && tree_.kind() == FileTree::Kind::kLocal;
    if (is_nobodys) times[0].tv_nsec = times[1].tv_nsec = UTIME_NOW;
    if (options_.time) times = {*options_.time, *options_.time};
    if (::utimensat(parent, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      throw path_error("utimes", path, errno);
    }
  }

  /// What the target does not take is left out, as BuildKit does.
  void copy_xattrs(const Xattrs& xattrs, const Node& node) {
    if (!xattrs.empty()) copy_xattrs(xattrs, open_level(*node.parent), node.name);
  }

  void copy_xattrs(const Xattrs& xattrs, int parent, const std::string& target_name) const {
    for (const auto& [name, value] : xattrs) {
      // Written straight into a layer these would hide files below it.
      if (name.starts_with("user.overlay.") || name.starts_with("trusted.overlay.")) continue;
      if (tree_.kind() == FileTree::Kind::kLocal &&
          (name.starts_with("com.apple.") || name == "security.capability")) {
        continue;  // What is sent to BuildKit gets its owner last, and so loses its capabilities.
      }
      static_cast<void>(set_xattr_at(parent, target_name, name, value));
    }
  }

  FileTree& tree_;
  const CopyOptions& options_;
  bool has_include_;
  bool has_exclude_;
  PatternSet include_;
  PatternSet exclude_;
  const TargetRoot& target_;
  std::map<std::pair<dev_t, ino_t>, LinkJob>
      linked_;  ///< To their first names, from the target's root.
  std::vector<LinkJob> links_;
  std::vector<DirectoryJob> directories_;
  WorkerThreads workers_;  ///< Last: its threads use the others.
};

EntryCopier::EntryCopier(FileTree& tree, const TargetRoot& target, const CopyOptions& options)
    : impl_(std::make_unique<Impl>(tree, target, options)) {}

EntryCopier::~EntryCopier() = default;

void EntryCopier::copy(FileTree::Entry& entry, const std::string& path) {
  impl_->run(entry, path);
}

void EntryCopier::copy_metadata(const FileTree::Entry& entry, const std::string& path) {
  impl_->metadata_only(entry, path);
}

}  // namespace cobuild::ops
