#pragma once

/// What is in the store, and what may go: du, prune, garbage collection (F5.5).

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/store/gc_policy.hpp"
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

/// All records, smallest first, then by id.
Task<std::vector<UsageRecord>> disk_usage(Store& store, std::vector<std::string> filters);

/// Removes what `options` allow, rows first, files after; returns what was removed. Never takes
/// what a living process has leased. Also removes what crashed processes left behind.
Task<std::vector<UsageRecord>> prune(Store& store, PruneOptions options);

/// How much collect_garbage may do.
struct GcLimits {
  std::chrono::milliseconds interval{60'000};  ///< Between two collections of a store (F5.5.13).
  std::chrono::milliseconds time{2000};        ///< Of one: what is then left is for the next.
};

/// Prunes by the rules of `config`, if the store was not looked at within the interval and is over
/// a limit: finding out that it is not takes one lookup, and two sums once in the interval. Returns
/// what was removed. May be cancelled: ends within a fraction of a second, and what was removed by
/// then is gone. \throws Error kInvalidInput for a wrong filter.
Task<std::vector<UsageRecord>> collect_garbage(Store& store, GcConfig config, GcLimits limits = {});

}  // namespace cobuild::store
