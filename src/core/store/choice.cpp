#include "core/store/choice.hpp"

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace cobuild::store {
namespace {

Timestamp last_use(const UsageRecord& record) {
  return record.last_used_at.value_or(Timestamp::min());
}

/// Chooses by place in the list of records, which must outlive this.
class Choice {
 public:
  Choice(const std::vector<UsageRecord>& records, const PruneOptions& options,
         const UsageFilter& filter)
      : records_(records), children_(records.size(), 0), allowed_(records.size(), false) {
    for (std::size_t i = 0; i < records.size(); ++i) places_.emplace(records[i].id, i);
    Timestamp const cut_off = now() - options.keep_duration;
    for (std::size_t i = 0; i < records.size(); ++i) {
      const UsageRecord& record = records[i];
      for_each_parent(i, [&](std::size_t parent) { ++children_[parent]; });
      bool const kept_kind = record.kind == RecordKind::kInternal ||
                             record.kind == RecordKind::kFrontend || record.shared;
      bool const recent = options.keep_duration.count() != 0 && record.last_used_at > cut_off;
      allowed_[i] =
          !record.in_use && (options.all || !kept_kind) && !recent && filter.matches(record);
    }
    rank();
    for (std::size_t i = 0; i < records.size(); ++i) add_if_ready(i);
  }

  /// The least used, one by one, until less than `keep` of `total` bytes is left; with a `keep` of
  /// 0 all that may go.
  std::vector<std::size_t> take(std::int64_t keep, std::int64_t total) {
    std::vector<std::size_t> taken;
    while (!ready_.empty() && (keep == 0 || total >= keep)) {
      std::size_t const i = ready_.begin()->second;
      ready_.erase(ready_.begin());
      taken.push_back(i);
      total -= records_[i].size;
      for_each_parent(i, [&](std::size_t parent) {
        --children_[parent];
        add_if_ready(parent);
      });
    }
    return taken;
  }

 private:
  template <class Fn>
  void for_each_parent(std::size_t i, Fn fn) {
    for (const std::string& parent : records_[i].parents) {
      if (auto const place = places_.find(parent); place != places_.end()) fn(place->second);
    }
  }

  void add_if_ready(std::size_t i) {
    if (allowed_[i] && children_[i] == 0) ready_.emplace(ranks_[i], i);
  }

  /// Each record's place in the orders of age and of use, relative to the number of places, among
  /// all that may go.
  void rank() {
    std::vector<Timestamp> times;
    std::vector<std::int64_t> counts;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      if (!allowed_[i]) continue;
      times.push_back(last_use(records_[i]));
      counts.push_back(records_[i].usage_count);
    }
    auto const sort_once = [](auto& values) {
      std::sort(values.begin(), values.end());
      values.erase(std::unique(values.begin(), values.end()), values.end());
    };
    sort_once(times);
    sort_once(counts);
    auto const share = [](const auto& all, const auto& value) {
      auto const place = std::upper_bound(all.begin(), all.end(), value) - all.begin();
      return static_cast<double>(place) / static_cast<double>(all.size());
    };
    ranks_.resize(records_.size());
    for (std::size_t i = 0; i < records_.size(); ++i) {
      if (!allowed_[i]) continue;
      ranks_[i] = share(times, last_use(records_[i])) + share(counts, records_[i].usage_count);
    }
  }

  const std::vector<UsageRecord>& records_;
  std::vector<int> children_;  ///< How many records that stay have this one as a parent.
  std::vector<bool> allowed_;
  std::vector<double> ranks_;
  std::unordered_map<std::string_view, std::size_t> places_;
  std::set<std::pair<double, std::size_t>> ready_;  ///< What may go next, by rank.
};

}  // namespace

std::int64_t bytes_to_keep(const PruneOptions& options, std::int64_t total,
                           std::int64_t free_bytes) {
  if (options.max_used_bytes == 0 && options.reserved_bytes == 0 && options.min_free_bytes == 0) {
    return 0;
  }
  std::int64_t keep = options.max_used_bytes;
  if (std::int64_t const excess = options.min_free_bytes - free_bytes; excess > 0) {
    keep = keep == 0 ? total - excess : std::min(keep, total - excess);
  } else if (options.min_free_bytes != 0 && keep == 0) {
    keep = total + 1;
  }
  // At least 1: a limit of nothing is still a limit, and 0 says that there is none.
  return std::max({keep, options.reserved_bytes, std::int64_t{1}});
}

std::vector<UsageRecord> choose(std::vector<UsageRecord>& records, const PruneOptions& options,
                                const UsageFilter& filter, std::int64_t free_bytes) {
  std::int64_t total = 0;
  for (const UsageRecord& record : records) total += record.shared ? 0 : record.size;
  std::vector<std::size_t> const places =
      Choice(records, options, filter).take(bytes_to_keep(options, total, free_bytes), total);
  std::vector<bool> gone(records.size(), false);
  std::vector<UsageRecord> taken;
  taken.reserve(places.size());
  for (std::size_t const i : places) {
    gone[i] = true;
    taken.push_back(std::move(records[i]));
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < records.size(); ++i) {
    if (gone[i]) continue;
    if (kept != i) records[kept] = std::move(records[i]);
    ++kept;
  }
  records.resize(kept);
  return taken;
}

}  // namespace cobuild::store
