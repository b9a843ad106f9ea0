#pragma once

/// Which records go. Private to core/store. Pure.

#include <cstdint>
#include <vector>

#include "core/store/collect.hpp"
#include "core/store/usage_filter.hpp"

namespace cobuild::store {

/// F5.5.9: how many of `total` bytes may stay; 0: no limit is set, and all that matches goes.
[[nodiscard]] std::int64_t bytes_to_keep(const PruneOptions& options, std::int64_t total,
                                         std::int64_t free_bytes);

/// Takes out of `records` what is to go, as F5.5.6 to F5.5.10 say, and returns it in the order in
/// which it is to go: children before their parents, and what is used least first, by age and
/// number of uses at once. `filter`: that of `options`.
[[nodiscard]] std::vector<UsageRecord> choose(std::vector<UsageRecord>& records,
                                              const PruneOptions& options,
                                              const UsageFilter& filter, std::int64_t free_bytes);

}  // namespace cobuild::store
