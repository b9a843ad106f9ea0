#pragma once

/// Copying between trees, with the semantics of BuildKit's COPY (F1.7.3 to F1.7.16, F10.1 to
/// F10.18).

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/path_pattern.hpp"
#include "ops/copy_ledger.hpp"
#include "ops/copy_mode.hpp"
#include "ops/copy_target.hpp"
#include "ops/file_tree.hpp"

namespace cobuild::ops {

struct CopyOptions {
  std::optional<Owner> owner;    ///< Of everything copied, and of directories made on the way.
  std::optional<timespec> time;  ///< Likewise; else the source's times.
  std::optional<mode_t> mode;    ///< Of everything but links, directories made on the way included.
  std::optional<ModeChange> mode_change;  ///< Goes before `mode`; not for directories on the way.
  bool copy_dir_contents = false;         ///< A directory's entries are copied rather than itself.
  bool follow_links = false;              ///< A source that is a link is followed.
  bool always_replace = false;            ///< What is in the way is removed, whatever its type.
  std::vector<std::string> include_patterns;
  std::vector<std::string> exclude_patterns;
  /// Set by another thread to stop. Looked at before each entry; the copy then throws kCancelled.
  const std::atomic<bool>* stop = nullptr;
  /// Where to write down what was copied, or what not to copy again; null: nowhere.
  CopyLedger* ledger = nullptr;
  /// Nothing is copied; all is shown to `ledger`, which is amending. The target is only looked at.
  bool only_compare = false;
};

/// Copies `source`, a path in `tree`, to `destination` in `target`. A destination that ends in "/"
/// or
/// "/." or exists as a directory takes a file under its own name. Blocking; on failure what was
/// copied stays. \throws Error: path errors as Go words them; `cannot copy to non-directory: X`,
/// `cannot replace to directory X with file`; kCancelled.
void copy_path(FileTree& tree, const std::string& source, const TargetRoot& target,
               const std::string& destination, const CopyOptions& options);

/// Copies entries to given places, keeping hard links among all that one copier copies. What it
/// refers to must outlive it. Blocking.
class EntryCopier {
 public:
  EntryCopier(FileTree& tree, const TargetRoot& target, const CopyOptions& options);
  ~EntryCopier();

  /// Copies `entry`, with what is below it, to the resolved path `path`, whose parent exists.
  void copy(FileTree::Entry& entry, const std::string& path);
  /// Gives what is at `path` the owner, mode, attributes and times of `entry`.
  void copy_metadata(const FileTree::Entry& entry, const std::string& path);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// The paths in `tree` that `pattern` matches, in order of path; a pattern without wildcards is the
/// one result, whether it exists or not. \throws Error when the part before the wildcards does not
/// exist.
[[nodiscard]] std::vector<std::string> resolve_wildcards(FileTree& tree, const std::string& pattern,
                                                         bool follow_links);

}  // namespace cobuild::ops
