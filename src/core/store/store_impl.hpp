#pragma once

/// The store's inside, for the files of core/store only.

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/async/semaphore.hpp"
#include "core/base/timings.hpp"
#include "core/store/database.hpp"
#include "core/store/durability.hpp"
#include "core/store/gc_policy.hpp"
#include "core/store/lock_table.hpp"
#include "core/store/pending_rows.hpp"
#include "core/store/process_lease.hpp"
#include "core/store/store.hpp"

namespace cobuild::store {

class Store::Impl {
 public:
  Impl(asio::io_context& loop_, asio::thread_pool& pool_, Options options);

  asio::thread_pool& pool;
  std::filesystem::path root;
  /// Two connections: queries on the loop see the last commit and never wait for a writer.
  Database writer;  ///< Used on the pool, by whoever holds the slot of `writing`.
  Database reader;  ///< Used on the loop.
  Semaphore writing;
  ProcessLease lease;
  std::shared_ptr<LockTable> locks;

  /// What this process has leased already: using it again needs no transaction.
  std::unordered_set<LayerId> leased;
  std::unordered_set<std::string> leased_caches;
  std::function<bool(const std::string&)> reachable;  ///< \see Store::set_reachable.

  // Rows on their way: added to `pending` on the loop; `sealed` are being written on the pool.
  PendingRows pending;
  std::vector<std::shared_ptr<const PendingRows>> sealed;
  WrittenIds written_ids;
  std::int64_t next_pending_id = -1;

  [[nodiscard]] std::filesystem::path leases_path() const { return root / "leases"; }
  /// ingest/<lease>: this process's own temporary files.
  [[nodiscard]] std::filesystem::path scratch_path() const {
    return root / "ingest" / lease.name();
  }
  [[nodiscard]] std::filesystem::path snapshot_path(LayerId id) const {
    return root / "snapshots" / std::to_string(id.value);
  }
  [[nodiscard]] std::filesystem::path blob_path(const Digest& digest) const {
    return root / "blobs" / "sha256" / digest.hex();
  }
  [[nodiscard]] std::filesystem::path cache_path(std::string_view id) const {
    return root / "caches" / Digest::of(id).hex();
  }

  /// The id by which a key is known now: a pending one gets its real one when it is written.
  [[nodiscard]] std::int64_t resolve(std::int64_t id) const;
  /// The rows that lookups must see beside the database's.
  template <class Fn>
  void for_each_pending(Fn fn) const {
    for (const auto& rows : sealed) fn(*rows);
    fn(pending);
  }

  /// Runs `fn(Database&)` on the pool within a transaction, which is committed unless it throws.
  template <class Fn>
  Task<std::invoke_result_t<Fn&, Database&>> write(Fn fn) {
    auto const slot = co_await writing.acquire();
    auto job = [database = &writer, fn = std::move(fn)]() mutable {
      Timings::Span const span(Phase::kStore);
      Transaction transaction(*database);
      auto result = fn(*database);
      transaction.commit();
      return result;
    };
    co_return co_await offload(pool, std::move(job));
  }

  /// As write, without a transaction around it: for long work that makes its own.
  template <class Fn>
  Task<std::invoke_result_t<Fn&, Database&>> write_in_steps(Fn fn) {
    auto const slot = co_await writing.acquire();
    auto job = [database = &writer, fn = std::move(fn)]() mutable {
      Timings::Span const span(Phase::kStore);
      return fn(*database);
    };
    co_return co_await offload(pool, std::move(job));
  }

  // How the end of a build decides; tests put their own in place.
  std::string boot = boot_id();
  std::function<std::optional<std::int64_t>()> unwritten = unwritten_bytes;
  std::function<std::int64_t()> available = available_bytes;
  std::function<DiskStat(const std::filesystem::path&)> disk = stat_disk;
  /// New checksums of layers that others left behind are begun for so long. One's own all are.
  std::chrono::milliseconds leftovers_time{1000};

  /// Settles what is unsynced, or gives it checksums: see durability.hpp. May be cancelled: what
  /// was not reached stays as it is.
  Task<void> make_durable();
  /// False when one of this process's own layers could not be read, or that would be too much.
  Task<bool> add_checksums(std::int64_t bytes_left);
  /// Waits for the disk if that is quickly done.
  Task<void> settle_if_cheap();
  /// Waits for the disk, and clears the marks of what was listed before.
  Task<void> settle(Unsettled unsettled);
  /// Whether the layer is suspect and could not be fetched again.
  [[nodiscard]] bool must_be_whole(LayerId id);
  [[nodiscard]] bool can_be_had(LayerId id);

  /// Writes what is pending.
  Task<void> publish();
  /// The same at once, on this thread, when nothing else is going on, and gives up the leases: one
  /// transaction at the end of the process.
  void write_last();

  mutable std::filesystem::path logs;  ///< Empty until asked for.
};

/// Notes in the caller's transaction that the process of `lease` uses a layer.
void add_lease(Database& database, std::string_view lease, std::int64_t layer);

/// What is in a directory, in order. Blocking. \throws Error when it cannot be listed.
[[nodiscard]] std::vector<std::string> names_in(const std::filesystem::path& directory);

/// How long the end of a build spends on removing what others left: what then remains is for the
/// next one.
inline constexpr std::chrono::milliseconds kSweepTimeMax{1000};

/// Removes ingest/discarded-*, no longer than `until`: false when something is left that no other
/// process is removing. Blocking.
bool remove_discarded(const std::filesystem::path& root,
                      std::chrono::steady_clock::time_point until);

/// Ends the leases of dead processes, and discards their temporary files and what they had begun to
/// add or to remove. Blocking.
void sweep_dead_processes(Database& database, const std::filesystem::path& root,
                          const std::string& own_lease);

[[nodiscard]] inline std::int64_t to_integer(Timestamp time) {
  return time.time_since_epoch().count();
}
[[nodiscard]] inline Timestamp to_timestamp(std::int64_t nanoseconds) {
  return Timestamp(std::chrono::nanoseconds(nanoseconds));
}

}  // namespace cobuild::store
