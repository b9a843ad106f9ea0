#include "core/store/removal.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include "core/base/error.hpp"
#include "core/store/durability.hpp"
#include "core/store/pending_rows.hpp"
#include "core/store/store_impl.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

/// Notes beyond this are dropped, oldest first: each can be computed again.
constexpr std::int64_t kNotesMax = 500'000;
/// Builds whose logs are kept.
constexpr std::size_t kBuildLogsMax = 50;

/// What is deeper than this in a tree is not counted: each level costs a descriptor.
constexpr int kMeasureDepthMax = 256;

/// Bytes on disk below `directory`, files with several names once.
void measure(int directory, int depth, std::set<std::pair<dev_t, ino_t>>& seen,
             std::int64_t& bytes) {
  for (const DirectoryEntry& entry : list_directory(directory)) {
    auto const status = stat_at(directory, entry.name.c_str());
    if (!status) continue;
    if (status->st_nlink > 1 && !S_ISDIR(status->st_mode) &&
        !seen.emplace(status->st_dev, status->st_ino).second) {
      continue;
    }
    bytes += static_cast<std::int64_t>(status->st_blocks) * 512;
    if (!S_ISDIR(status->st_mode) || depth >= kMeasureDepthMax) continue;
    constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd const child(::openat(directory, entry.name.c_str(), kFlags));
    if (child) measure(child.get(), depth + 1, seen, bytes);
  }
}

std::int64_t measure_tree(const std::filesystem::path& path) {
  UniqueFd const directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  std::int64_t bytes = 0;
  std::set<std::pair<dev_t, ino_t>> seen;
  if (directory) measure(directory.get(), 0, seen, bytes);
  return bytes;
}

/// The layers that living processes use, ours among them.
template <class Item>
std::set<Item> leased(Database& database, const std::filesystem::path& root, std::string_view sql) {
  std::set<Item> items;
  std::map<std::string, bool> alive;
  Query rows = database.query(sql);
  while (rows.next()) {
    std::string process = rows.text(0);
    auto found = alive.find(process);
    if (found == alive.end()) {
      found = alive.emplace(process, is_alive(root / "leases", process)).first;
    }
    if (!found->second) continue;
    if constexpr (std::is_same_v<Item, std::string>) {
      items.insert(rows.text(1));
    } else {
      items.insert(rows.integer(1));
    }
  }
  return items;
}

constexpr std::string_view kLayerLeases = "SELECT process, layer FROM leases";
constexpr std::string_view kCacheLeases = "SELECT process, cache FROM cache_leases";

std::string cache_record_id(std::string_view id) {
  return Digest::of(id).hex().substr(0, 25);
}

/// A layer's parents: what it is stacked on in the results that have it.
std::map<std::int64_t, std::set<std::int64_t>> list_parents(Database& database) {
  std::map<std::int64_t, std::set<std::int64_t>> parents;
  Query rows = database.query("SELECT DISTINCT chain FROM results");
  while (rows.next()) {
    LayerChain const chain = parse_chain(rows.text(0));
    for (std::size_t i = 1; i < chain.size(); ++i)
      parents[chain[i].value].insert(chain[i - 1].value);
  }
  return parents;
}

void measure_layers(Database& database, const std::filesystem::path& root) {
  std::vector<std::int64_t> unmeasured;
  {
    Query rows = database.query("SELECT id FROM layers WHERE size IS NULL AND has_snapshot = 1");
    while (rows.next()) unmeasured.push_back(rows.integer(0));
  }
  for (std::int64_t const id : unmeasured) {
    std::int64_t const size = measure_tree(root / "snapshots" / std::to_string(id) / "fs");
    database.run("UPDATE layers SET size = ? WHERE id = ?", {size, id});
  }
}

UsageRecord layer_record(const Query& row) {
  UsageRecord record;
  record.id = std::to_string(row.integer(0));
  record.created_at = to_timestamp(row.integer(1));
  record.last_used_at = to_timestamp(row.integer(2));
  record.usage_count = row.integer(3);
  record.size = row.integer(4);
  record.description = row.text(5);
  record.kind = static_cast<RecordKind>(row.integer(6));
  return record;
}

std::vector<UsageRecord> list_caches(Database& database, const std::filesystem::path& root) {
  auto const in_use = leased<std::string>(database, root, kCacheLeases);
  std::vector<UsageRecord> records;
  std::vector<std::pair<std::string, std::int64_t>> measured;
  {
    Query row = database.query(
        "SELECT id, created_at, last_used_at, usage_count, size, description FROM caches ORDER BY "
        "id");
    while (row.next()) {
      std::string const id = row.text(0);
      UsageRecord record;
      record.id = cache_record_id(id);
      record.created_at = to_timestamp(row.integer(1));
      record.last_used_at = to_timestamp(row.integer(2));
      record.usage_count = row.integer(3);
      record.mutable_ = true;
      record.in_use = in_use.contains(id);
      record.description = row.text(5);
      record.kind = RecordKind::kCacheMount;
      if (!record.in_use) {  // else it is changing, and counts as nothing
        record.size = row.integer(4);
        if (row.is_null(4)) {
          record.size = measure_tree(root / "caches" / Digest::of(id).hex());
          measured.emplace_back(id, record.size);
        }
      }
      records.push_back(std::move(record));
    }
  }
  for (const auto& [id, size] : measured) {
    database.run("UPDATE caches SET size = ? WHERE id = ?", {size, std::string_view(id)});
  }
  return records;
}

bool is_alone(const std::filesystem::path& root, const std::string& own_lease) {
  auto const names = list_leases(root / "leases");
  return std::none_of(names.begin(), names.end(), [&](const std::string& name) {
    return name != own_lease && is_alive(root / "leases", name);
  });
}

}  // namespace

std::vector<UsageRecord> list_usage(Database& database, const std::filesystem::path& root) {
  measure_layers(database, root);
  auto const in_use = leased<std::int64_t>(database, root, kLayerLeases);
  auto const parents = list_parents(database);
  std::vector<UsageRecord> records;
  Query row = database.query(
      "SELECT id, created_at, last_used_at, usage_count, "
      "CASE WHEN has_snapshot THEN coalesce(size, 0) ELSE 0 END + "
      "coalesce((SELECT sum(b.size) FROM layer_blobs l JOIN blobs b ON b.digest = l.digest "
      "WHERE l.layer = layers.id), 0), description, kind FROM layers ORDER BY id");
  while (row.next()) {
    UsageRecord record = layer_record(row);
    record.in_use = in_use.contains(row.integer(0));
    if (auto found = parents.find(row.integer(0)); found != parents.end()) {
      for (std::int64_t const parent : found->second)
        record.parents.push_back(std::to_string(parent));
    }
    records.push_back(std::move(record));
  }
  for (UsageRecord& cache : list_caches(database, root)) records.push_back(std::move(cache));
  return records;
}

Removal::Removal(Database& database, std::filesystem::path root, std::string lease,
                 std::filesystem::path scratch)
    : database_(database),
      root_(std::move(root)),
      lease_(std::move(lease)),
      scratch_(std::move(scratch)) {}

std::vector<UsageRecord> Removal::remove(std::vector<UsageRecord> records, bool everything) {
  {
    CollectorLock const lock(root_ / "leases");
    alone_ = is_alone(root_, lease_);
    database_.set_durability(Database::Durability::kFull);
    try {
      records = remove_rows(std::move(records), everything);
    } catch (...) {
      database_.set_durability(Database::Durability::kNormal);
      throw;
    }
    database_.set_durability(Database::Durability::kNormal);
    if (everything) remove_partial_downloads();
    move_to_trash();
  }
  remove_tree(trash_);
  remove_old_logs();
  return records;
}

std::vector<UsageRecord> Removal::remove_rows(std::vector<UsageRecord> records, bool everything) {
  Transaction transaction(database_);
  // Asked again: in the time since the choice, somebody may have found one of them in the cache.
  auto const layers = leased<std::int64_t>(database_, root_, kLayerLeases);
  auto const caches = leased<std::string>(database_, root_, kCacheLeases);
  std::map<std::string, std::string> cache_ids;
  {
    Query rows = database_.query("SELECT id FROM caches");
    while (rows.next()) cache_ids[cache_record_id(rows.text(0))] = rows.text(0);
  }
  std::set<Digest> freed;
  std::erase_if(records, [&](const UsageRecord& record) {
    if (record.kind == RecordKind::kCacheMount) {
      const std::string& id = cache_ids[record.id];
      if (caches.contains(id)) return true;
      database_.run("DELETE FROM caches WHERE id = ?", {std::string_view(id)});
      return false;
    }
    std::int64_t id = 0;
    std::from_chars(record.id.data(), record.id.data() + record.id.size(), id);
    if (layers.contains(id)) return true;
    {
      Query rows = database_.query("SELECT digest FROM layer_blobs WHERE layer = ?", {id});
      while (rows.next()) freed.insert(rows.digest(0));
    }
    forget_layer(database_, id);
    return false;
  });
  // A blob has no lease of its own: another process may have seen that it is there and be about to
  // read it. So while there is one, blobs stay, for the next time.
  if (alone_ && everything) {
    database_.run("DELETE FROM blobs WHERE digest NOT IN (SELECT digest FROM layer_blobs)");
  } else if (alone_) {
    for (const Digest& digest : freed) {
      database_.run(
          "DELETE FROM blobs WHERE digest = ? AND digest NOT IN (SELECT digest FROM layer_blobs)",
          {to_value(digest)});
    }
  }
  if (alone_ && !records.empty()) remove_lost_keys();
  database_.run(
      "DELETE FROM notes WHERE (topic, name) IN (SELECT topic, name FROM notes "
      "ORDER BY written_at DESC LIMIT -1 OFFSET ?)",
      {kNotesMax});
  transaction.commit();
  return records;
}

void Removal::remove_lost_keys() {
  // From the far end inwards: a key leads somewhere while it has a result, or a link to one that
  // does.
  for (;;) {
    database_.run(
        "DELETE FROM keys WHERE id NOT IN (SELECT key FROM results) "
        "AND id NOT IN (SELECT source FROM links)");
    if (database_.changes() == 0) return;
    database_.run("DELETE FROM links WHERE target NOT IN (SELECT id FROM keys)");
  }
}

void Removal::move_to_trash() {
  trash_ = scratch_ / "trash";
  std::filesystem::create_directories(trash_);
  {
    // Under the write lock, so that nobody adds the same blob or cache between the question whether
    // there is a row and the rename. Renames are quick; the removal is done without the lock.
    Transaction transaction(database_);
    int number = 0;
    auto const discard = [&](const std::filesystem::path& path) {
      auto const target = trash_ / std::to_string(number++);
      if (::rename(path.c_str(), target.c_str()) != 0 && errno != ENOENT) {
        throw Error::from_errno(errno, "rename " + path.string());
      }
    };
    for (const std::string& name : names_in(root_ / "snapshots")) {
      std::string_view const text = name;
      if (!database_
               .query("SELECT 1 FROM layers WHERE has_snapshot = 1 AND CAST(id AS TEXT) = ?",
                      {text})
               .next()) {
        discard(root_ / "snapshots" / name);
      }
    }
    for (const std::string& name : names_in(root_ / "blobs" / "sha256")) {
      auto const digest = Digest::try_parse("sha256:" + name);
      if (digest &&
          !database_.query("SELECT 1 FROM blobs WHERE digest = ?", {to_value(*digest)}).next()) {
        discard(root_ / "blobs" / "sha256" / name);
      }
    }
    std::set<std::string> caches;
    {
      Query rows = database_.query("SELECT id FROM caches");
      while (rows.next()) caches.insert(Digest::of(rows.text(0)).hex());
    }
    for (const std::string& name : names_in(root_ / "caches")) {
      if (!caches.contains(name)) discard(root_ / "caches" / name);
    }
    transaction.commit();
  }
}

void Removal::remove_old_logs() {
  auto names = names_in(root_ / "logs");  // by time, since their names begin with it
  if (names.size() <= kBuildLogsMax) return;
  names.resize(names.size() - kBuildLogsMax);
  for (const std::string& name : names) remove_tree(root_ / "logs" / name);
}

void Removal::remove_partial_downloads() {
  if (!alone_) return;  // somebody may be at it
  for (const std::string& name : names_in(root_ / "ingest")) {
    auto const path = root_ / "ingest" / name;
    std::error_code error;
    if (std::filesystem::is_regular_file(path, error)) std::filesystem::remove(path, error);
  }
}

}  // namespace cobuild::store
