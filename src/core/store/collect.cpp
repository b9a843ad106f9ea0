#include "core/store/collect.hpp"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include "core/base/error.hpp"
#include "core/store/removal.hpp"
#include "core/store/store_impl.hpp"
#include "core/store/usage_filter.hpp"

namespace cobuild::store {
namespace {

/// F5.5.9: how many bytes may stay; 0: no limit is set, and all that matches goes.
std::int64_t bytes_to_keep(const PruneOptions& options, std::int64_t total,
                           const std::string& root) {
  if (options.max_used_bytes == 0 && options.reserved_bytes == 0 && options.min_free_bytes == 0) {
    return 0;
  }
  std::int64_t keep = options.max_used_bytes;
  if (options.min_free_bytes != 0) {
    struct statvfs disk{};
    if (::statvfs(root.c_str(), &disk) != 0)
      throw Error::from_errno(errno, "stat the disk of " + root);
    auto const free = static_cast<std::int64_t>(disk.f_bavail * disk.f_frsize);
    if (std::int64_t const excess = options.min_free_bytes - free; excess > 0) {
      keep = keep == 0 ? total - excess : std::min(keep, total - excess);
    } else if (keep == 0) {
      keep = total;
    }
  }
  // At least 1: a limit of nothing is still a limit, and 0 says that there is none.
  return std::max({keep, options.reserved_bytes, std::int64_t{1}});
}

/// Chooses what goes, as F5.5.6 to F5.5.10 say, without touching anything.
class Choice {
 public:
  Choice(std::vector<UsageRecord> records, const PruneOptions& options, const UsageFilter& filter)
      : records_(std::move(records)), gone_(records_.size(), false), children_(records_.size(), 0) {
    for (std::size_t i = 0; i < records_.size(); ++i) places_[records_[i].id] = i;
    for (const UsageRecord& record : records_) count_children(record, 1);
    Timestamp const cut_off = now() - options.keep_duration;
    for (const UsageRecord& record : records_) {
      bool const kept_kind = record.kind == RecordKind::kInternal ||
                             record.kind == RecordKind::kFrontend || record.shared;
      bool const recent = options.keep_duration.count() != 0 && record.last_used_at > cut_off;
      allowed_.push_back(!record.in_use && (options.all || !kept_kind) && !recent &&
                         filter.matches(record));
    }
  }

  /// All that may go.
  std::vector<UsageRecord> take_all() {
    std::vector<UsageRecord> taken;
    for (auto ready = ready_now(); !ready.empty(); ready = ready_now()) {
      for (std::size_t const i : ready) taken.push_back(take(i));
    }
    return taken;
  }

  /// The least used, one by one, until less than `keep` of `total` bytes is left.
  std::vector<UsageRecord> take_down_to(std::int64_t keep, std::int64_t total) {
    std::vector<UsageRecord> taken;
    while (total >= keep) {
      auto ready = ready_now();
      if (ready.empty()) break;
      rank(ready);
      for (std::size_t const i : ready) {
        if (total < keep) break;
        bool const frees_a_parent = has_parent_here(records_[i]);
        taken.push_back(take(i));
        total -= taken.back().size;
        if (frees_a_parent) break;  // which may be used less than the next of these
      }
    }
    return taken;
  }

 private:
  void count_children(const UsageRecord& record, int change) {
    for (const std::string& parent : record.parents) {
      if (auto place = places_.find(parent); place != places_.end())
        children_[place->second] += change;
    }
  }

  bool has_parent_here(const UsageRecord& record) const {
    return std::any_of(record.parents.begin(), record.parents.end(),
                       [&](const std::string& parent) { return places_.contains(parent); });
  }

  std::vector<std::size_t> ready_now() const {
    std::vector<std::size_t> ready;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      if (!gone_[i] && allowed_[i] && children_[i] == 0) ready.push_back(i);
    }
    return ready;
  }

  UsageRecord take(std::size_t i) {
    gone_[i] = true;
    count_children(records_[i], -1);
    return records_[i];
  }

  /// By age and by use at once: each record's place in both orders, relative to the number of
  /// places.
  void rank(std::vector<std::size_t>& ready) const {
    std::set<Timestamp> times;
    std::set<std::int64_t> counts;
    for (std::size_t const i : ready) {
      times.insert(records_[i].last_used_at.value_or(Timestamp::min()));
      counts.insert(records_[i].usage_count);
    }
    auto const share = [](const auto& all, const auto& value) {
      auto const place = std::distance(all.begin(), all.find(value)) + 1;
      return static_cast<double>(place) / static_cast<double>(all.size());
    };
    std::vector<std::pair<double, std::size_t>> ranked;
    for (std::size_t const i : ready) {
      ranked.emplace_back(share(times, records_[i].last_used_at.value_or(Timestamp::min())) +
                              share(counts, records_[i].usage_count),
                          i);
    }
    std::sort(ranked.begin(), ranked.end());
    for (std::size_t i = 0; i < ready.size(); ++i) ready[i] = ranked[i].second;
  }

  std::vector<UsageRecord> records_;
  std::vector<bool> gone_;
  std::vector<bool> allowed_;
  std::vector<int> children_;  ///< How many records that stay have this one as a parent.
  std::map<std::string, std::size_t> places_;
};

}  // namespace

Task<std::vector<UsageRecord>> disk_usage(Store& store, std::vector<std::string> filters) {
  UsageFilter const filter(filters, "diskusage");
  Store::Impl& impl = store.impl();
  co_await impl.publish();
  auto job = [root = impl.root, filter](Database& database) {
    auto records = list_usage(database, root);
    std::erase_if(records, [&](const UsageRecord& record) { return !filter.matches(record); });
    std::sort(records.begin(), records.end(), [](const UsageRecord& a, const UsageRecord& b) {
      return std::tie(a.size, a.id) < std::tie(b.size, b.id);
    });
    return records;
  };
  co_return co_await impl.write_in_steps(std::move(job));
}

Task<std::vector<UsageRecord>> prune(Store& store, PruneOptions options) {
  UsageFilter const filter(options.filters, "prune");
  Store::Impl& impl = store.impl();
  co_await impl.publish();
  auto job = [root = impl.root, lease = impl.lease.name(), scratch = impl.scratch_path(), filter,
              options = std::move(options)](Database& database) {
    sweep_dead_processes(database, root, lease);
    auto records = list_usage(database, root);
    std::int64_t total = 0;
    for (const UsageRecord& record : records) total += record.shared ? 0 : record.size;
    std::int64_t const keep = bytes_to_keep(options, total, root.string());
    Choice choice(std::move(records), options, filter);
    auto taken = keep == 0 ? choice.take_all() : choice.take_down_to(keep, total);
    bool const everything =
        keep == 0 && options.filters.empty() && options.keep_duration.count() == 0;
    Removal removal(database, root, lease, scratch);
    taken = removal.remove(std::move(taken), everything);
    return taken;
  };
  co_return co_await impl.write_in_steps(std::move(job));
}

}  // namespace cobuild::store
