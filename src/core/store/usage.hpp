#pragma once

/// What the store holds, as du and garbage collection see it. Private to core/store. All of it
/// blocks.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/store/collect.hpp"
#include "core/store/database.hpp"

namespace cobuild::store {

/// Finds out how large layers and cache mounts are of which that is not known, and notes it. At
/// least one of them, and more until `until`: false when some are left.
bool measure_unknown(Database& database, const std::filesystem::path& root,
                     std::chrono::steady_clock::time_point until);

/// One record for each layer and cache mount: layers by id, then caches. Those that were not
/// measured count as nothing.
[[nodiscard]] std::vector<UsageRecord> list_usage(Database& database,
                                                  const std::filesystem::path& root);

/// What living processes use, ours among them.
[[nodiscard]] std::unordered_set<std::int64_t> leased_layers(Database& database,
                                                             const std::filesystem::path& root);
[[nodiscard]] std::unordered_set<std::string> leased_caches(Database& database,
                                                            const std::filesystem::path& root);

/// The id that users see for the cache mount `id`.
[[nodiscard]] std::string cache_record_id(std::string_view id);

}  // namespace cobuild::store
