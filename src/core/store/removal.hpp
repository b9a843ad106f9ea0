#pragma once

/// Listing what the store has, and removing some of it. Private to core/store. All of it blocks.

#include <filesystem>
#include <string>
#include <vector>

#include "core/store/collect.hpp"
#include "core/store/database.hpp"

namespace cobuild::store {

/// One record for each layer and cache mount. Measures those whose size is not known yet.
[[nodiscard]] std::vector<UsageRecord> list_usage(Database& database,
                                                  const std::filesystem::path& root);

/// Takes records out of the store: rows first, and durably, so that a power cut cannot bring back a
/// row whose files are gone; then the files.
class Removal {
 public:
  /// `lease`: of this process. `scratch`: a directory of this process, in the store.
  Removal(Database& database, std::filesystem::path root, std::string lease,
          std::filesystem::path scratch);

  /// Removes `records`, but for those that somebody has begun to use meanwhile, and returns those
  /// removed. `everything`: also what no record speaks of, such as manifests and partial downloads.
  std::vector<UsageRecord> remove(std::vector<UsageRecord> records, bool everything);

 private:
  std::vector<UsageRecord> remove_rows(std::vector<UsageRecord> records, bool everything);
  void remove_lost_keys();
  void move_to_trash();
  void remove_old_logs();
  void remove_partial_downloads();

  Database& database_;
  std::filesystem::path root_;
  std::string lease_;
  std::filesystem::path scratch_;
  std::filesystem::path trash_;  ///< Where files wait for their removal, which needs no lock.
  bool alone_ = false;           ///< No other process uses the store.
};

}  // namespace cobuild::store
