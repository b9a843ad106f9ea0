#include "core/store/durability.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <system_error>
#include <utility>
#include <vector>

#include "core/store/pending_rows.hpp"

namespace cobuild::store {
namespace {

/// More than any machine has; keeps the sum from overflowing.
constexpr std::int64_t kKilobytesMax = std::int64_t{1} << 50;

std::vector<std::int64_t> integers(Database& database, std::string_view sql) {
  std::vector<std::int64_t> out;
  Query rows = database.query(sql);
  while (rows.next()) out.push_back(rows.integer(0));
  return out;
}

bool exists(Database& database, std::string_view sql, std::initializer_list<Value> values = {}) {
  return database.query(sql, values).next();
}

bool is_boot(Database& database, std::string_view boot) {
  Query row = database.query("SELECT value FROM state WHERE name = 'boot'");
  return row.next() && row.text(0) == boot;
}

/// Partial downloads: their tails may be holes now, and would fail their digest again and again.
void remove_partial_downloads(const std::filesystem::path& root) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(root / "ingest", ignored)) {
    if (entry.is_regular_file(ignored)) std::filesystem::remove(entry.path(), ignored);
  }
}

/// Puts the files of a layer where the next sweep removes them. Within the transaction that forgets
/// them: nobody can be placing others there, and if it is not committed they are forgotten again.
/// What cannot be moved is left to garbage collection.
void discard_files(const std::filesystem::path& root, std::int64_t layer) {
  std::string const name = std::to_string(layer);
  std::error_code ignored;
  std::filesystem::rename(root / "snapshots" / name,
                          root / "ingest" / (std::string(kDiscarded) + name), ignored);
}

}  // namespace

void drop_snapshot(Database& database, const std::filesystem::path& root, std::int64_t layer) {
  discard_files(root, layer);
  bool const can_be_fetched =
      exists(database,
             "SELECT 1 FROM layers WHERE id = ? AND chain_id IS NOT NULL "
             "AND EXISTS (SELECT 1 FROM layer_blobs WHERE layer = layers.id)",
             {layer});
  if (!can_be_fetched) return forget_layer(database, layer);
  database.run(
      "UPDATE layers SET has_snapshot = 0, unsynced = 0, checksum = NULL, size = NULL "
      "WHERE id = ?",
      {layer});
}

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

void forget_layer(Database& database, std::int64_t layer) {
  std::vector<std::int64_t> results;
  {
    Query rows = database.query("SELECT result FROM result_layers WHERE layer = ?", {layer});
    while (rows.next()) results.push_back(rows.integer(0));
  }
  for (std::int64_t const result : results) {
    database.run("DELETE FROM result_layers WHERE layer = ? AND result = ?", {layer, result});
    database.run("DELETE FROM results WHERE id = ?", {result});
  }
  database.run("DELETE FROM layer_blobs WHERE layer = ?", {layer});
  database.run("DELETE FROM layer_forms WHERE layer = ?", {layer});
  database.run("DELETE FROM leases WHERE layer = ?", {layer});
  std::string const topic = layer_topic(LayerId{layer});
  database.run("DELETE FROM notes WHERE topic = ?", {std::string_view(topic)});
  database.run("DELETE FROM layers WHERE id = ?", {layer});
}

void forget_unsynced(Database& database, const std::filesystem::path& root, std::string_view boot) {
  if (is_boot(database, boot)) return;
  Transaction transaction(database);
  if (is_boot(database, boot)) return;  // somebody was faster
  database.run("DELETE FROM leases");
  database.run("DELETE FROM cache_leases");
  database.run("DELETE FROM blobs WHERE unsynced <> 0");
  database.run(
      "DELETE FROM layer_blobs WHERE sources = '' AND digest NOT IN (SELECT digest FROM blobs)");
  database.run("UPDATE layers SET unsynced = ? WHERE unsynced <> 0 AND checksum IS NOT NULL",
               {kSuspect});
  for (std::int64_t const layer :
       integers(database, "SELECT id FROM layers WHERE unsynced <> 0 AND checksum IS NULL")) {
    drop_snapshot(database, root, layer);
  }
  for (std::int64_t const layer :
       integers(database,
                "SELECT id FROM layers WHERE has_snapshot = 0 "
                "AND NOT EXISTS (SELECT 1 FROM layer_blobs WHERE layer = layers.id)")) {
    forget_layer(database, layer);
  }
  remove_partial_downloads(root);
  database.run("INSERT OR REPLACE INTO state(name, value) VALUES('boot', ?)", {boot});
  transaction.commit();
}

void trust_suspect(Database& database, std::int64_t layer) {
  database.run("UPDATE layers SET unsynced = 1 WHERE id = ? AND unsynced = ?", {layer, kSuspect});
}

void forget_suspect(Database& database, const std::filesystem::path& root, std::int64_t layer) {
  if (!exists(database, "SELECT 1 FROM layers WHERE id = ? AND unsynced = ?", {layer, kSuspect}))
    return;
  drop_snapshot(database, root, layer);
}

std::optional<std::int64_t> parse_meminfo_bytes(std::string_view meminfo,
                                                std::initializer_list<std::string_view> names) {
  std::int64_t sum = 0;
  for (std::string_view const name : names) {
    std::string const label = "\n" + std::string(name) + ":";
    std::size_t at = meminfo.find(label);
    if (at == std::string_view::npos) return std::nullopt;
    at = meminfo.find_first_not_of(' ', at + label.size());
    if (at == std::string_view::npos) return std::nullopt;
    std::int64_t kilobytes = 0;
    auto const [end, error] =
        std::from_chars(meminfo.data() + at, meminfo.data() + meminfo.size(), kilobytes);
    if (error != std::errc() || kilobytes < 0 || kilobytes > kKilobytesMax) return std::nullopt;
    sum += kilobytes << 10;
  }
  return sum;
}

namespace {

std::optional<std::int64_t> meminfo_bytes(std::initializer_list<std::string_view> names) {
  std::ifstream file("/proc/meminfo");
  std::string const text(std::istreambuf_iterator<char>(file), {});
  return parse_meminfo_bytes(text, names);
}

}  // namespace

std::optional<std::int64_t> unwritten_bytes() {
  return meminfo_bytes({"Dirty", "Writeback"});
}

std::int64_t available_bytes() {
  return meminfo_bytes({"MemAvailable"}).value_or(0);
}

std::int64_t bytes_worth_reading(std::int64_t unwritten, std::int64_t available) {
  return std::min(unwritten * kReadPerUnwritten, available / 2);
}

Unsettled list_unsettled(Database& database) {
  Unsettled found;
  found.layers = integers(database, "SELECT id FROM layers WHERE unsynced <> 0 AND unsynced = 1");
  Query rows = database.query("SELECT digest, unsynced FROM blobs WHERE unsynced <> 0");
  while (rows.next()) found.blobs.emplace_back(rows.digest(0), rows.integer(1));
  return found;
}

void mark_settled(Database& database, const Unsettled& synced) {
  for (std::int64_t const layer : synced.layers) {
    database.run("UPDATE layers SET unsynced = 0, checksum = NULL WHERE id = ? AND unsynced = 1",
                 {layer});
  }
  for (const auto& [blob, mark] : synced.blobs) {
    database.run("UPDATE blobs SET unsynced = 0 WHERE digest = ? AND unsynced = ?",
                 {to_value(blob), mark});
  }
}

}  // namespace cobuild::store
