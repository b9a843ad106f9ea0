// What a Store does against power cuts: at the end of a build, and before a layer's use in the next
// boot. See durability.hpp.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/store/disk_sync.hpp"
#include "core/store/durability.hpp"
#include "core/store/store_impl.hpp"
#include "core/store/tree_checksum.hpp"

namespace cobuild::store {
namespace {

/// Layers of this boot whose files nobody has looked at.
std::vector<LayerId> unchecked_layers(Database& database) {
  std::vector<LayerId> layers;
  Query rows = database.query(
      "SELECT id FROM layers WHERE unsynced <> 0 AND unsynced = 1 AND has_snapshot = 1 "
      "AND checksum IS NULL");
  while (rows.next()) layers.push_back(LayerId{rows.integer(0)});
  return layers;
}

struct Suspicion {
  bool has_snapshot = false;
  std::optional<std::string> checksum;  ///< Of a suspect layer.
};

Suspicion read_suspicion(Database& database, LayerId id) {
  Query row = database.query("SELECT has_snapshot, unsynced, checksum FROM layers WHERE id = ?",
                             {id.value});
  Suspicion found;
  if (!row.next()) return found;
  found.has_snapshot = row.integer(0) != 0;
  if (found.has_snapshot && row.integer(1) == kSuspect) found.checksum = row.text(2);
  return found;
}

}  // namespace

Task<void> Store::Impl::make_durable() {
  Unsettled unsettled = list_unsettled(reader);
  if (unsettled.empty()) co_return;
  std::optional<std::int64_t> const bytes = unwritten();
  // A checksum is for the next boot, which must be known from this one.
  bool const is_sync_due = boot.empty() || !bytes || *bytes <= kUnwrittenBytesMax;
  if (!is_sync_due && co_await add_checksums(bytes_worth_reading(*bytes, available()))) co_return;
  co_await settle(std::move(unsettled));
}

Task<void> Store::Impl::settle_if_cheap() {
  std::optional<std::int64_t> const bytes = unwritten();
  if (bytes && *bytes > kUnwrittenBytesMax) co_return;
  co_await settle(list_unsettled(reader));
}

Task<void> Store::Impl::settle(Unsettled unsettled) {
  if (unsettled.empty()) co_return;
  // They are usually one file system, and the second call is then cheap; a user may have mounted
  // more.
  std::vector<std::filesystem::path> const parts{root / "snapshots", root / "blobs"};
  co_await sync_file_systems(pool, parts);
  auto job = [unsettled = std::move(unsettled)](Database& database) {
    mark_settled(database, unsettled);
    return true;
  };
  co_await write(std::move(job));
}

Task<bool> Store::Impl::add_checksums(std::int64_t bytes_left) {
  auto const end_of_leftovers = std::chrono::steady_clock::now() + leftovers_time;
  std::vector<std::pair<LayerId, std::string>> found;
  std::vector<LayerId> layers = unchecked_layers(reader);
  auto const is_own = [this](LayerId id) { return leased.contains(id); };
  std::partition(layers.begin(), layers.end(), is_own);
  for (LayerId const id : layers) {
    bool const own = is_own(id);
    if (!own && std::chrono::steady_clock::now() >= end_of_leftovers) break;
    auto checksum = co_await tree_checksum(pool, snapshot_path(id) / "fs", &bytes_left);
    if (!checksum && own) co_return false;
    // What another process leaves may be on its way out of the store.
    if (checksum) found.emplace_back(id, *std::move(checksum));
  }
  if (found.empty()) co_return true;
  auto job = [found = std::move(found)](Database& database) {
    for (const auto& [id, checksum] : found) {
      database.run(
          "UPDATE layers SET checksum = ? WHERE id = ? AND unsynced = 1 AND has_snapshot = 1",
          {std::string_view(checksum), id.value});
    }
    return true;
  };
  co_await write(std::move(job));
  co_return true;
}

bool Store::Impl::must_be_whole(LayerId id) {
  return reader
      .query(
          "SELECT 1 FROM layers WHERE id = ? AND unsynced = ? AND (chain_id IS NULL OR NOT EXISTS "
          "(SELECT 1 FROM layer_blobs WHERE layer = layers.id))",
          {id.value, kSuspect})
      .next();
}

Task<bool> Store::confirm_snapshot(LayerId id) {
  Impl& impl = *impl_;
  Suspicion suspicion = read_suspicion(impl.reader, id);
  if (!suspicion.checksum) co_return suspicion.has_snapshot;
  // Whoever else wants to know waits here, and then asks again.
  auto const lock = co_await this->lock("confirm " + std::to_string(id.value));
  suspicion = read_suspicion(impl.reader, id);
  if (!suspicion.checksum) co_return suspicion.has_snapshot;
  auto const checksum = co_await tree_checksum(impl.pool, impl.snapshot_path(id) / "fs");
  bool const whole = checksum == suspicion.checksum;
  auto job = [id, whole, root = impl.root](Database& database) {
    if (whole) {
      trust_suspect(database, id.value);
    } else {
      forget_suspect(database, root, id.value);
    }
    return true;
  };
  co_await impl.write(std::move(job));
  // Often nothing is left to be written, and then this layer is never looked at again.
  if (whole) co_await impl.settle_if_cheap();
  co_return whole;
}

}  // namespace cobuild::store
