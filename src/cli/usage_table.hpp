#pragma once

/// What `du` and `prune` print (F5.5.1, F5.5.2, F5.5.5).

#include <string>
#include <vector>

#include "core/store/collect.hpp"

namespace cobuild::cli {

using UsageRecords = std::vector<store::UsageRecord>;

/// ID, RECLAIMABLE, SIZE and LAST ACCESSED, one row for each record.
[[nodiscard]] std::string render_usage_table(const UsageRecords& records);
/// A block of lines for each record.
[[nodiscard]] std::string render_usage_verbose(const UsageRecords& records);
/// Shared, Private, Reclaimable and Total.
[[nodiscard]] std::string render_usage_summary(const UsageRecords& records);
/// "Total:" and the size: the last line of prune.
[[nodiscard]] std::string render_total(const UsageRecords& records);
/// One JSON array with BuildKit's names (`du --format '{{json .}}'`).
[[nodiscard]] std::string render_usage_json(const UsageRecords& records);
/// One JSON object per line (`prune --format '{{json .}}'`).
[[nodiscard]] std::string render_usage_json_lines(const UsageRecords& records);

}  // namespace cobuild::cli
