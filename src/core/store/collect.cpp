#include "core/store/collect.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "core/store/choice.hpp"
#include "core/store/removal.hpp"
#include "core/store/store_impl.hpp"
#include "core/store/usage.hpp"
#include "core/store/usage_filter.hpp"

namespace cobuild::store {
namespace {

using Clock = std::chrono::steady_clock;

/// Others wait for a transaction that removes so many.
constexpr std::size_t kPortion = 1000;

std::vector<UsageRecord> measured_usage(Database& database, const std::filesystem::path& root) {
  (void)measure_unknown(database, root, Clock::time_point::max());
  return list_usage(database, root);
}

std::vector<UsageRecord> take_portion(std::vector<UsageRecord>& records) {
  auto const end =
      records.begin() + static_cast<std::ptrdiff_t>(std::min(kPortion, records.size()));
  std::vector<UsageRecord> portion(std::make_move_iterator(records.begin()),
                                   std::make_move_iterator(end));
  records.erase(records.begin(), end);
  return portion;
}

void append(std::vector<UsageRecord>& to, std::vector<UsageRecord> more) {
  std::move(more.begin(), more.end(), std::back_inserter(to));
}

}  // namespace

Task<std::vector<UsageRecord>> disk_usage(Store& store, std::vector<std::string> filters) {
  UsageFilter const filter(filters, "diskusage");
  Store::Impl& impl = store.impl();
  co_await impl.publish();
  auto job = [root = impl.root, filter](Database& database) {
    auto records = measured_usage(database, root);
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
  auto job = [root = impl.root, lease = impl.lease.name(), disk = impl.disk, filter,
              options = std::move(options)](Database& database) {
    sweep_dead_processes(database, root, lease);
    auto records = measured_usage(database, root);
    std::int64_t const free = disk(root).free;
    bool const everything = bytes_to_keep(options, 0, free) == 0 && options.filters.empty() &&
                            options.keep_duration.count() == 0;
    auto chosen = choose(records, options, filter, free);
    std::vector<UsageRecord> removed;
    Removal removal(database, root, lease);
    while (!chosen.empty()) append(removed, removal.remove(take_portion(chosen)));
    removal.finish(everything);
    (void)remove_discarded(root, Clock::time_point::max());
    return removed;
  };
  co_return co_await impl.write_in_steps(std::move(job));
}

}  // namespace cobuild::store
