#pragma once

/// What is in the store, and what may go: du, prune, garbage collection (F5.5).

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/store/store.hpp"
#include "core/store/types.hpp"

namespace cobuild::store {

/// One row of `du`: a layer or a cache mount.
struct UsageRecord {
  std::string id;
  std::vector<std::string> parents;
  Timestamp created_at;
  std::optional<Timestamp> last_used_at;
  std::int64_t usage_count = 0;
  bool mutable_ = false;
  bool in_use = false;  ///< Leased by a living process.
  bool shared = false;
  std::int64_t size = 0;  ///< Bytes.
  std::string description;
  RecordKind kind = RecordKind::kRegular;
};

struct PruneOptions {
  bool all = false;                  ///< Internal and frontend records too.
  std::vector<std::string> filters;  ///< containerd filter syntax (F5.5.4).
  std::chrono::seconds keep_duration{0};
  std::int64_t reserved_bytes = 0;
  std::int64_t max_used_bytes = 0;
  std::int64_t min_free_bytes = 0;
};

/// All records, smallest first, then by id.
Task<std::vector<UsageRecord>> disk_usage(Store& store, std::vector<std::string> filters);

/// Removes what `options` allow, rows first, files after; returns what was removed. Never takes
/// what a living process has leased. Also removes what crashed processes left behind.
Task<std::vector<UsageRecord>> prune(Store& store, PruneOptions options);

}  // namespace cobuild::store
