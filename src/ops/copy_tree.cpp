#include "ops/copy_tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/go_path.hpp"
#include "core/sys/tree.hpp"
#include "ops/op_digest.hpp"

namespace cobuild::ops {

namespace {

constexpr mode_t kDirectoryMode = 0755;
constexpr mode_t kPermissionBits = 07777;

using Entry = FileTree::Entry;

[[nodiscard]] PatternSet compile(const std::vector<std::string>& patterns, std::string_view what) {
  if (patterns.empty()) return {};
  try {
    return PatternSet(patterns);
  } catch (const Error& error) {
    throw error.with_context("invalid " + std::string(what));
  }
}

/// The entry that a copy starts from. \throws Error when there is none.
[[nodiscard]] Entry& find_source(FileTree& tree, const std::string& source, bool follow_links) {
  std::string const path = go_path::join("/", source);
  Entry* const entry = tree.find(path, follow_links);
  if (entry == nullptr) throw path_error("lstat", path, ENOENT);
  return *entry;
}

/// The directory part of a destination that must exist: all of it, when it names a directory.
[[nodiscard]] std::string directory_part(const std::string& destination) {
  std::size_t const slash = destination.rfind('/');
  std::string const last = slash == std::string::npos ? destination : destination.substr(slash + 1);
  if (last.empty() || last == ".") return destination;
  return destination.substr(0, destination.size() - last.size());
}

/// Children of `entry` that match, in order; nothing below a match.
void collect_matches(FileTree& tree, Entry& entry, const std::string& relative,
                     const std::string& pattern, std::vector<std::string>& matches) {
  auto const depth = [](const std::string& path) {
    return std::count(path.begin(), path.end(), '/');
  };
  bool const may_cross = pattern.find('[') != std::string::npos;
  for (Entry* child : tree.list(entry)) {
    std::string const path = relative.empty() ? child->name : relative + "/" + child->name;
    if (is_path_pattern(pattern) && match_path(pattern, path)) {
      matches.push_back(tree.path_of(*child));
    } else if (child->is_directory() && (may_cross || depth(path) < depth(pattern))) {
      collect_matches(tree, *child, path, pattern, matches);
    }
  }
}

}  // namespace

/// One copy of one source. Hard links are kept among what it copies.
class EntryCopier::Impl {
 public:
  Impl(FileTree& tree, const TargetRoot& target, const CopyOptions& options)
      : tree_(tree),
        options_(options),
        has_include_(!options.include_patterns.empty()),
        has_exclude_(!options.exclude_patterns.empty()),
        include_(compile(options.include_patterns, "includepatterns")),
        exclude_(compile(options.exclude_patterns, "excludepatterns")),
        target_(target) {}

  void run(Entry& source, const std::string& path) {
    TargetRoot::Place place = target_.place(path, "open");
    Level base;
    base.fd = std::move(place.directory);
    Node node{.source = &source,
              .parent = &base,
              .name = std::move(place.name),
              .path = path,
              .relative = {},
              .include = {},
              .exclude = {}};
    copy(node, false);
  }

  void metadata_only(const Entry& source, const std::string& path) {
    TargetRoot::Place const place = target_.place(path, "open");
    copy_owner_and_mode(source, place.directory.get(), place.name, path);
    copy_xattrs(tree_.xattrs_of(source), place.directory.get(), place.name);
    copy_times(source, place.directory.get(), place.name, path);
  }

 private:
  /// A directory of the target. With include patterns it is made only when something in it is.
  struct Level {
    Level* parent = nullptr;
    Entry* source = nullptr;
    std::string name;
    std::string path;
    bool made = true;
    bool fresh = false;  ///< Made by this copy: nothing can be in the way there.
    UniqueFd fd;
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
    if (level.fd) return level.fd.get();
    int const parent = open_level(*level.parent);
    if (parent < 0) return -1;
    int const fd =
        ::openat(parent, level.name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
      if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return -1;
      throw path_error("open", level.path, errno);
    }
    level.fd = UniqueFd(fd);
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
    std::optional<struct stat> const before = target_status(node);
    if (filtered.include) {
      if (options_.always_replace && before &&
          !(source.is_directory() && S_ISDIR(before->st_mode))) {
        remove_tree_at(open_level(*node.parent), node.name);
      }
      make_levels(*node.parent, overwrite_metadata);
    }
    if (source.is_directory()) {
      copy_directory(node, overwrite_metadata, filtered, before.has_value());
      return;
    }
    make_room_for_file(node);
    copy_non_directory(node);
  }

  void copy_directory(Node& node, bool overwrite_metadata, Filtered filtered, bool existed) {
    bool created = false;
    Level level{.parent = node.parent,
                .source = node.source,
                .name = node.name,
                .path = node.path,
                .made = false,
                .fresh = false,
                .fd = {}};
    if (filtered.include) {
      created = make_directory(level, overwrite_metadata);
      level.made = true;
    }
    if (!filtered.excluded || (has_exclude_ && exclude_.has_negations())) {
      for (Entry* child : tree_.list(*node.source)) copy_child(node, level, *child);
    }
    if (!filtered.include) return;
    // Only now: what was put into the directory has changed its times.
    if (overwrite_metadata || created) {
      copy_metadata(node, open_level(*node.parent));
      copy_xattrs(tree_.xattrs_of(*node.source), node);
    } else if (existed) {
      copy_times(*node.source, open_level(*node.parent), node.name, node.path);
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
    Node const node{.source = level.source,
                    .parent = level.parent,
                    .name = level.name,
                    .path = level.path,
                    .relative = {},
                    .include = {},
                    .exclude = {}};
    copy_metadata(node, open_level(*level.parent));
    copy_xattrs(tree_.xattrs_of(*level.source), node);
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
    if (source.is_regular()) {
      copy_regular(node, parent);
      return;
    }
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
    copy_metadata(node, parent);
    copy_xattrs(tree_.xattrs_of(source), node);
  }

  void copy_regular(const Node& node, int parent) {
    const Entry& source = *node.source;
    if (source.links > 1) {
      auto const [known, is_first] =
          linked_.try_emplace({source.device, source.inode}, node.path.substr(1));
      if (!is_first) {
        if (::linkat(target_.fd(), known->second.c_str(), parent, node.name.c_str(), 0) != 0) {
          throw path_error("link", node.path, errno);
        }
        copy_metadata(node, parent);
        return;
      }
    }
    UniqueFd const from = tree_.open_file(source);
    UniqueFd to(::openat(parent, node.name.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!to) throw path_error("open", node.path, errno);
    try {
      copy_file_content(from.get(), to.get());
      to.close();
    } catch (const Error& error) {
      throw error.with_context("copy " + tree_.path_of(source) + " to " + node.path);
    }
    copy_metadata(node, parent);
    copy_xattrs(read_xattrs_at(from.get(), ""), node);
  }

  void copy_metadata(const Node& node, int parent) const {
    copy_owner_and_mode(*node.source, parent, node.name, node.path);
    copy_times(*node.source, parent, node.name, node.path);
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
      if (tree_.kind() == FileTree::Kind::kLocal && name.starts_with("com.apple.")) continue;
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
  std::map<std::pair<dev_t, ino_t>, std::string> linked_;  ///< Paths from the target's root.
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

void copy_path(FileTree& tree, const std::string& source, const TargetRoot& target,
               const std::string& destination, const CopyOptions& options) {
  NewFileAttributes const attributes{.owner = options.owner, .time = options.time};
  mode_t const directory_mode = options.mode.value_or(kDirectoryMode) & 0777;
  std::vector<std::string> created;
  auto make_directories = [&](const std::string& path) {
    for (std::string& made : target.make_directories(path, directory_mode, attributes)) {
      created.push_back(std::move(made));
    }
  };
  if (std::string const part = directory_part(destination); !part.empty()) {
    make_directories(target.resolve(part));
  }
  std::string path = target.resolve(destination);

  Entry& entry = find_source(tree, source, options.follow_links);
  std::optional<struct stat> const existing = target.status(path);
  bool const into_directory =
      existing && (entry.is_directory() ? !options.copy_dir_contents : S_ISDIR(existing->st_mode));
  if (into_directory) path = go_path::join(path, go_path::base(source));
  bool const is_new_contents = options.copy_dir_contents && entry.is_directory() && !existing;
  make_directories(is_new_contents ? path : go_path::dir(path));

  EntryCopier(tree, target, options).copy(entry, path);

  // Filling the directories has changed their times.
  if (!options.time) return;
  NewFileAttributes const time_only{.owner = std::nullopt, .time = options.time};
  for (auto made = created.rbegin(); made != created.rend(); ++made) {
    TargetRoot::Place const place = target.place(*made, "utimes");
    TargetRoot::apply(place.directory.get(), place.name, *made, time_only);
  }
}

std::vector<std::string> resolve_wildcards(FileTree& tree, const std::string& pattern,
                                           bool follow_links) {
  std::string const clean = go_path::clean(pattern);
  std::size_t begin = 0;
  while (begin < clean.size()) {
    std::size_t const end = std::min(clean.find('/', begin), clean.size());
    if (contains_wildcards(std::string_view(clean).substr(begin, end - begin))) break;
    begin = end + 1;
  }
  if (begin >= clean.size()) return {clean};
  Entry& base = find_source(tree, clean.substr(0, begin), follow_links);
  std::vector<std::string> matches;
  collect_matches(tree, base, "", clean.substr(begin), matches);
  return matches;
}

}  // namespace cobuild::ops
