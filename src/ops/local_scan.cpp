// The listing of a local source through its filters, as BuildKit's client transfers it: entries
// that are included and not excluded, and the directories on the way to them.

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/async/runtime.hpp"
#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/path_pattern.hpp"
#include "core/base/timings.hpp"
#include "ops/file_tree.hpp"
#include "ops/op_digest.hpp"
#include "ops/worker_threads.hpp"

namespace cobuild::ops {

namespace {

/// Finds the links on the way to a path, so that what they lead to is included as well.
class LinkFollower {
 public:
  explicit LinkFollower(FileTree& tree) : tree_(tree) {}

  void follow(const std::string& path) {
    // Without recursion: links may form long chains.
    std::vector<std::string> pending{path};
    while (!pending.empty()) {
      std::string const next = std::move(pending.back());
      pending.pop_back();
      follow_one(next, pending);
    }
  }

  /// Sorted, without what lies below another one; nullopt when the root is among them.
  [[nodiscard]] const std::set<std::string>& resolved() const { return resolved_; }

 private:
  void follow_one(const std::string& path, std::vector<std::string>& pending) {
    std::string rest = go_path::clean("./" + path);
    std::string current = ".";
    for (;;) {
      std::size_t const slash = rest.find('/');
      current = go_path::join(current, rest.substr(0, slash));
      rest = slash == std::string::npos ? std::string() : rest.substr(slash + 1);
      std::vector<std::string> const targets = link_targets(current, true);
      if (!rest.empty() && targets.empty()) continue;
      bool const is_new = resolved_.insert(current).second;
      if (!is_new || targets.empty()) return;
      for (const std::string& target : targets) pending.push_back(go_path::join(target, rest));
      return;
    }
  }

  /// Where the link at `path` leads, from the root; with wildcards in its last part, all links that
  /// match. Empty: no link.
  std::vector<std::string> link_targets(const std::string& path, bool allow_wildcard) {
    std::string const base = go_path::base(path);
    if (allow_wildcard && contains_wildcards(base)) {
      std::vector<std::string> targets;
      FileTree::Entry* const directory = literal(go_path::dir(path));
      if (directory == nullptr || !is_path_pattern(base)) return {};
      for (const FileTree::Entry* entry : tree_.list(*directory)) {
        if (!match_path(base, entry->name)) continue;
        for (std::string& target :
             link_targets(go_path::join(go_path::dir(path), entry->name), false)) {
          targets.push_back(std::move(target));
        }
      }
      return targets;
    }
    const FileTree::Entry* const entry = literal(path);
    if (entry == nullptr || !entry->is_link()) return {};
    std::string const target = go_path::clean(entry->link_target);
    if (go_path::is_absolute(target)) return {target};
    return {go_path::join("/", go_path::join(go_path::dir(path), target))};
  }

  /// The entry at a path on which there are no links.
  FileTree::Entry* literal(const std::string& path) {
    FileTree::Entry* entry = &tree_.root();
    std::string rest = path;
    while (!rest.empty() && entry != nullptr) {
      std::size_t const slash = rest.find('/');
      std::string const name = rest.substr(0, slash);
      rest = slash == std::string::npos ? std::string() : rest.substr(slash + 1);
      if (name.empty() || name == ".") continue;
      entry = name == ".." ? nullptr : tree_.find_in(*entry, name);
    }
    return entry;
  }

  FileTree& tree_;
  std::set<std::string> resolved_;
};

/// Drops paths below the one before; everything, when the root is among them.
[[nodiscard]] std::optional<std::vector<std::string>> topmost(
    const std::vector<std::string>& paths) {
  std::vector<std::string> kept;
  for (const std::string& path : paths) {
    if (path == ".") return std::nullopt;
    if (!kept.empty() && path.starts_with(kept.back() + "/")) continue;
    kept.push_back(path);
  }
  return kept;
}

[[nodiscard]] std::vector<std::string> include_patterns(const std::filesystem::path& root,
                                                        const TreeFilter& filter) {
  std::vector<std::string> patterns = filter.include_patterns;
  if (filter.follow_paths.empty()) return patterns;
  std::unique_ptr<FileTree> const tree = FileTree::open(root, FileTree::Kind::kLocal);
  LinkFollower follower(*tree);
  for (const std::string& path : filter.follow_paths) follower.follow(path);
  std::vector<std::string> const all(follower.resolved().begin(), follower.resolved().end());
  std::optional<std::vector<std::string>> const followed = topmost(all);
  if (!followed) return patterns;
  patterns.insert(patterns.end(), followed->begin(), followed->end());
  return topmost(patterns).value_or(std::vector<std::string>());
}

}  // namespace

/// One walk. Lists directories and applies the patterns; the stat data of what is no directory is
/// read on other threads. Named in file_tree.hpp as a friend.
class FilteredScan {
 public:
  FilteredScan(FileTree& tree, const TreeFilter& filter)
      : tree_(tree),
        include_list_(include_patterns(tree.root_path_, filter)),
        workers_(cpus_allowed()) {
    if (!include_list_.empty()) include_ = compile_patterns(include_list_, "includepatterns");
    if (!filter.exclude_patterns.empty()) {
      exclude_ = compile_patterns(filter.exclude_patterns, "excludepatterns");
    }
  }

  void run() {
    Level root{.name = {}, .status = {}, .entry = &tree_.root(), .include = {}, .exclude = {}};
    levels_.push_back(&root);
    walk(std::make_shared<const UniqueFd>(::dup(tree_.root_fd_.get())), "", false);
    workers_.finish();
    for (const Batch& batch : batches_) account(batch);
  }

 private:
  using Directory = std::shared_ptr<const UniqueFd>;
  /// Entries of one directory that have only their name yet.
  using Batch = std::vector<FileTree::Entry*>;
  static constexpr std::size_t kBatchMax = 1000;

  /// A directory that we are in. Its entry is made when something below turns out to belong to it.
  struct Level {
    std::string name;
    struct stat status{};
    FileTree::Entry* entry = nullptr;
    PatternSet::ParentState include;
    PatternSet::ParentState exclude;
  };

  void walk(const Directory& directory, const std::string& path, bool skipped) {
    std::vector<DirectoryEntry> entries;
    try {
      entries = list_directory(directory->get());
    } catch (const Error& error) {
      if (skipped && error.kind() == ErrorKind::kDenied) return;
      throw error.with_context("list " + (tree_.root_path_ / path).string());
    }
    Batch batch;
    for (DirectoryEntry& entry : entries) {
      visit(directory, path.empty() ? entry.name : path + "/" + entry.name, entry, batch);
      if (batch.size() == kBatchMax) hand_out(directory, std::exchange(batch, {}));
    }
    if (FileTree::Entry* own = levels_.back()->entry) own->listed = true;
    if (!batch.empty()) hand_out(directory, std::move(batch));
  }

  void hand_out(const Directory& directory, Batch batch) {
    Batch& kept = batches_.emplace_back(std::move(batch));
    workers_.submit([this, directory, &kept] { read(directory->get(), kept); });
  }

  void visit(const Directory& directory, const std::string& path, DirectoryEntry& found,
             Batch& batch) {
    int const fd = directory->get();
    Level level{.name = found.name, .status = {}, .entry = nullptr, .include = {}, .exclude = {}};
    bool is_directory = found.type == DT_DIR;
    if (found.type == DT_UNKNOWN) {
      if (!read_status(fd, level)) return;
      is_directory = S_ISDIR(level.status.st_mode);
    }
    bool skip = false;
    if (!include_list_.empty() &&
        !include_.match(path, levels_.back()->include, &level.include).matched) {
      if (!is_directory || !include_.may_match_below(path)) return;
      skip = true;
    }
    if (!exclude_.empty() &&
        exclude_.match(path, levels_.back()->exclude, &level.exclude).matched) {
      if (!is_directory || !exclude_.may_match_negation_below(path)) return;
      skip = true;
    }
    if (is_directory && found.type == DT_DIR) {
      if (!read_status(fd, level)) return;
      // What became something else since it was listed is that.
      is_directory = S_ISDIR(level.status.st_mode);
      if (!is_directory && skip) return;
    }
    if (!skip) {
      for (std::size_t i = 1; i < levels_.size(); ++i) add_directory(i);
      FileTree::Entry& parent = *levels_.back()->entry;
      level.entry = is_directory ? &tree_.add(parent, level.name, level.status, {})
                                 : batch.emplace_back(&tree_.add(parent, level.name));
      level.entry->listed = true;
    }
    if (is_directory) descend(fd, path, level, skip);
  }

  void descend(int fd, const std::string& path, Level& level, bool skip) {
    auto const directory = std::make_shared<const UniqueFd>(
        ::openat(fd, level.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!*directory) {
      if (errno == ENOENT || (skip && errno == EACCES)) return;
      throw Error::from_errno(errno, "open " + (tree_.root_path_ / path).string());
    }
    levels_.push_back(&level);
    walk(directory, path, skip);
    levels_.pop_back();
  }

  /// On any of the threads: each entry belongs to one batch. What is gone meanwhile keeps mode 0.
  void read(int fd, const Batch& batch) const {
    for (FileTree::Entry* entry : batch) {
      std::optional<struct stat> const status = stat_at(fd, entry->name.c_str());
      if (!status) continue;
      if (S_ISLNK(status->st_mode)) entry->link_target = read_link_at(fd, entry->name.c_str());
      tree_.read_entry(*entry, *status);
    }
  }

  void account(const Batch& batch) {
    for (const FileTree::Entry* entry : batch) {
      if (entry->mode == 0) std::erase(entry->parent->entries, entry);
      if (entry->is_regular()) tree_.bytes_ += entry->size;
    }
  }

  static bool read_status(int fd, Level& level) {
    std::optional<struct stat> const status = stat_at(fd, level.name.c_str());
    if (status) level.status = *status;
    return status.has_value();
  }

  void add_directory(std::size_t index) {
    Level& level = *levels_[index];
    if (level.entry != nullptr) return;
    level.entry = &tree_.add(*levels_[index - 1]->entry, level.name, level.status, {});
    level.entry->listed = true;
  }

  FileTree& tree_;
  std::vector<std::string> include_list_;
  PatternSet include_;
  PatternSet exclude_;
  std::vector<Level*> levels_;
  std::deque<Batch> batches_;
  WorkerThreads workers_;  ///< Last: its threads use the others.
};

std::unique_ptr<FileTree> FileTree::scan(const std::filesystem::path& root,
                                         const TreeFilter& filter) {
  Timings::Span const span(Phase::kScan);
  std::unique_ptr<FileTree> tree(new FileTree(root, Kind::kLocal));
  FilteredScan(*tree, filter).run();
  tree->root_->listed = true;
  return tree;
}

}  // namespace cobuild::ops
