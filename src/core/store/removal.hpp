#pragma once

/// Removing from the store. Private to core/store. All of it blocks.

#include <filesystem>
#include <string>
#include <vector>

#include "core/store/collect.hpp"
#include "core/store/database.hpp"

namespace cobuild::store {

/// Removes snapshots, blobs and cache mounts without a row, or moves what takes long to where
/// remove_discarded finds it, under the write lock; returns their paths in the store. `lease`: of this process.
std::vector<std::string> discard_stray_files(Database& database, const std::filesystem::path& root,
                                             const std::string& lease);

/// Takes records out of the store: rows first, and durably, so that a power cut cannot bring back a
/// row whose files are gone; then the files. Whoever calls `remove` calls `finish` in the end; a
/// process that dies between them leaves files without rows, which the next sweep takes.
class Removal {
 public:
  /// `lease`: of this process.
  Removal(Database& database, std::filesystem::path root, std::string lease);

  /// Removes the rows of `records`, but for those that somebody has begun to use meanwhile, and
  /// returns those removed. In one transaction, for which others wait: not too many at once.
  std::vector<UsageRecord> remove(std::vector<UsageRecord> records);

  /// Removes the rows of what nothing leads to any more, sees to it that all removals last, and
  /// puts files without rows where remove_discarded finds them. `everything`: partial downloads,
  /// too.
  void finish(bool everything);

 private:
  void commit_durably();
  void remove_unreferenced();
  void remove_lost_keys();
  void remove_old_logs();
  void remove_partial_downloads();

  Database& database_;
  std::filesystem::path root_;
  std::string lease_;
  bool alone_ = false;  ///< No other process uses the store.
};

}  // namespace cobuild::store
