// Garbage collection at the end of a build: prunes that are due, in pieces that end soon.

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/store/choice.hpp"
#include "core/store/collect.hpp"
#include "core/store/removal.hpp"
#include "core/store/store_impl.hpp"
#include "core/store/usage.hpp"
#include "core/store/usage_filter.hpp"

namespace cobuild::store {
namespace {

using Clock = std::chrono::steady_clock;

/// Between two pieces of work a cancellation is noticed, and other jobs of this process get their
/// turn.
constexpr std::chrono::milliseconds kPieceTime{100};
constexpr std::size_t kPieceRecords = 2000;
/// Threads that remove files: more would wait for the file system's journal.
constexpr std::size_t kRemovers = 2;

Clock::time_point piece_end(Clock::time_point until) {
  return std::min(until, Clock::now() + kPieceTime);
}

/// A rule, ready for use.
struct Rule {
  PruneOptions options;
  UsageFilter filter;
};

/// Whether nobody has looked for so long. The store remembers when somebody did.
bool is_due(Database& database, std::chrono::milliseconds interval) {
  Query row = database.query("SELECT value FROM state WHERE name = 'collected_at'");
  if (!row.next()) return true;
  std::string const text = row.text(0);
  std::int64_t at = 0;
  std::from_chars(text.data(), text.data() + text.size(), at);
  Timestamp const then = to_timestamp(at);
  Timestamp const time = now();
  return then > time || time - then >= interval;  // a clock that was set back is no reason to wait
}

/// One of those who find it due at the same time gets it.
bool claim(Database& database, std::chrono::milliseconds interval) {
  Transaction transaction(database);
  if (!is_due(database, interval)) return false;
  std::string const time = std::to_string(to_integer(now()));
  database.run("INSERT OR REPLACE INTO state(name, value) VALUES('collected_at', ?)",
               {std::string_view(time)});
  transaction.commit();
  return true;
}

std::int64_t sum(Database& database, std::string_view sql) {
  Query row = database.query(sql);
  return row.next() ? row.integer(0) : 0;
}

std::int64_t known_size(Database& database) {
  return sum(database, "SELECT sum(size) FROM layers WHERE has_snapshot = 1") +
         sum(database, "SELECT sum(size) FROM blobs") +
         sum(database, "SELECT sum(size) FROM caches");
}

bool is_all_measured(Database& database) {
  return !database.query("SELECT 1 FROM layers WHERE size IS NULL AND has_snapshot = 1 LIMIT 1")
              .next() &&
         !database.query("SELECT 1 FROM caches WHERE size IS NULL LIMIT 1").next();
}

/// Whether there is something that the rule may take.
bool has_candidates(Database& database, const Rule& rule) {
  if (rule.options.keep_duration.count() == 0) return true;
  std::int64_t const cut_off = to_integer(now() - rule.options.keep_duration);
  Query kinds =
      database.query("SELECT DISTINCT kind FROM layers WHERE last_used_at <= ?", {cut_off});
  while (kinds.next()) {
    if (rule.filter.may_match(static_cast<RecordKind>(kinds.integer(0)))) return true;
  }
  return rule.filter.may_match(RecordKind::kCacheMount) &&
         database.query("SELECT 1 FROM caches WHERE last_used_at <= ? LIMIT 1", {cut_off}).next();
}

/// Leaves out the rules by which nothing is to be done when the store takes `used` bytes at most.
void keep_broken(Database& database, std::vector<Rule>& rules, const DiskStat& disk,
                 std::int64_t used) {
  std::erase_if(rules, [&](const Rule& rule) {
    std::int64_t const keep = bytes_to_keep(rule.options, used, disk.free);
    return (keep != 0 && used < keep) || !has_candidates(database, rule);
  });
}

/// What is to be done, as far as it can be told without looking at files; nothing when it is not
/// due.
std::vector<Rule> take_turn(Database& database, std::vector<Rule> rules, const DiskStat& disk,
                            std::chrono::milliseconds interval) {
  if (!claim(database, interval)) return {};
  // A store is not larger than what its disk has.
  bool const measured = is_all_measured(database);
  keep_broken(database, rules, disk, measured ? known_size(database) : disk.total - disk.free);
  return rules;
}

std::vector<UsageRecord> choose_by(const std::vector<Rule>& rules, std::vector<UsageRecord> records,
                                   const DiskStat& disk) {
  std::vector<UsageRecord> chosen;
  std::int64_t free = disk.free;
  for (const Rule& rule : rules) {
    for (UsageRecord& record : choose(records, rule.options, rule.filter, free)) {
      free += record.size;
      chosen.push_back(std::move(record));
    }
  }
  return chosen;
}

/// Removes the rows of what was chosen, in order, no longer than `until`; returns what was removed.
Task<std::vector<UsageRecord>> remove_rows(Store::Impl& impl, std::vector<UsageRecord> chosen,
                                           Clock::time_point until) {
  std::vector<UsageRecord> removed;
  for (std::size_t at = 0; at < chosen.size() && Clock::now() < until; at += kPieceRecords) {
    auto const begin = chosen.begin() + static_cast<std::ptrdiff_t>(at);
    auto const size = std::min(kPieceRecords, chosen.size() - at);
    std::vector<UsageRecord> piece(begin, begin + static_cast<std::ptrdiff_t>(size));
    auto remove = [root = impl.root, lease = impl.lease.name(),
                   piece = std::move(piece)](Database& database) mutable {
      return Removal(database, root, lease).remove(std::move(piece));
    };
    auto gone = co_await impl.write_in_steps(std::move(remove));
    std::move(gone.begin(), gone.end(), std::back_inserter(removed));
  }
  co_return removed;
}

Task<void> empty_trash(Store::Impl& impl, Clock::time_point until) {
  for (bool clean = false; !clean && Clock::now() < until;) {
    auto clear = [root = impl.root, end = piece_end(until)] { return remove_discarded(root, end); };
    clean = co_await offload(impl.pool, std::move(clear));
  }
}

Task<void> remove_files(Store::Impl& impl, Clock::time_point until) {
  auto finish = [root = impl.root, lease = impl.lease.name()](Database& database) {
    Removal(database, root, lease).finish(false);
    return true;
  };
  co_await impl.write_in_steps(std::move(finish));
  auto remove = [&](std::size_t) { return empty_trash(impl, until); };
  co_await for_each_bounded(std::vector<std::size_t>(kRemovers), kRemovers, remove);
}

/// False when the time ran out.
Task<bool> measure(Store::Impl& impl, Clock::time_point until) {
  for (bool measured = false; !measured;) {
    if (Clock::now() >= until) co_return false;
    auto job = [root = impl.root, end = piece_end(until)](Database& database) {
      return measure_unknown(database, root, end);
    };
    measured = co_await impl.write_in_steps(std::move(job));
  }
  co_return true;
}

}  // namespace

Task<std::vector<UsageRecord>> collect_garbage(Store& store, GcConfig config, GcLimits limits) {
  Store::Impl& impl = store.impl();
  if (!config.enabled || !is_due(impl.reader, limits.interval))
    co_return std::vector<UsageRecord>();
  auto const until = Clock::now() + limits.time;
  DiskStat const disk = impl.disk(impl.root);
  std::vector<Rule> rules;
  for (PruneOptions& options : gc_rules(config, disk)) {
    UsageFilter filter(options.filters, "prune");
    rules.push_back({std::move(options), std::move(filter)});
  }
  co_await impl.publish();
  auto look = [disk, interval = limits.interval, rules = std::move(rules)](Database& database) {
    return take_turn(database, rules, disk, interval);
  };
  rules = co_await impl.write_in_steps(std::move(look));
  if (rules.empty() || !co_await measure(impl, until)) co_return std::vector<UsageRecord>();

  auto pick = [root = impl.root, disk, rules = std::move(rules)](Database& database) mutable {
    keep_broken(database, rules, disk, known_size(database));
    if (rules.empty()) return std::vector<UsageRecord>();
    return choose_by(rules, list_usage(database, root), disk);
  };
  std::vector<UsageRecord> chosen = co_await impl.write_in_steps(std::move(pick));
  if (chosen.empty()) co_return std::vector<UsageRecord>();
  std::vector<UsageRecord> removed = co_await remove_rows(impl, std::move(chosen), until);
  co_await remove_files(impl, until);
  co_return removed;
}

}  // namespace cobuild::store
