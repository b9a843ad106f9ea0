#include "core/store/usage.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "core/store/pending_rows.hpp"
#include "core/store/process_lease.hpp"
#include "core/store/store_impl.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

/// Sizes are written so many at a time: one by one takes longer than measuring.
constexpr std::size_t kMeasuredMax = 256;

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

/// What is measured: a row and its directory.
struct Unmeasured {
  std::variant<std::int64_t, std::string> id;  ///< Of a layer, or of a cache mount.
  std::filesystem::path directory;
};

std::vector<Unmeasured> list_unmeasured(Database& database, const std::filesystem::path& root) {
  std::vector<Unmeasured> out;
  Query layers = database.query("SELECT id FROM layers WHERE size IS NULL AND has_snapshot = 1");
  while (layers.next()) {
    auto const name = std::to_string(layers.integer(0));
    out.push_back({layers.integer(0), root / "snapshots" / name / "fs"});
  }
  // One that is in use is changing, and counts as nothing.
  auto const in_use = leased_caches(database, root);
  Query caches = database.query("SELECT id FROM caches WHERE size IS NULL");
  while (caches.next()) {
    std::string const id = caches.text(0);
    if (!in_use.contains(id)) out.push_back({id, root / "caches" / Digest::of(id).hex()});
  }
  return out;
}

using Sizes = std::vector<std::pair<const Unmeasured*, std::int64_t>>;

void write_sizes(Database& database, Sizes& sizes) {
  if (sizes.empty()) return;
  Transaction transaction(database);
  for (const auto& [what, size] : sizes) {
    if (const auto* layer = std::get_if<std::int64_t>(&what->id)) {
      database.run("UPDATE layers SET size = ? WHERE id = ?", {size, *layer});
    } else {
      database.run("UPDATE caches SET size = ? WHERE id = ?",
                   {size, std::string_view(std::get<std::string>(what->id))});
    }
  }
  transaction.commit();
  sizes.clear();
}

/// A layer and one that it is stacked on in some result, each pair once, in order.
std::vector<std::pair<std::int64_t, std::int64_t>> list_parents(Database& database) {
  std::vector<std::pair<std::int64_t, std::int64_t>> parents;
  Query rows = database.query("SELECT chain FROM results");
  while (rows.next()) {
    LayerChain const chain = parse_chain(rows.text(0));
    for (std::size_t i = chain.size(); i-- > 1;) {
      parents.emplace_back(chain[i].value, chain[i - 1].value);
    }
  }
  std::sort(parents.begin(), parents.end());
  parents.erase(std::unique(parents.begin(), parents.end()), parents.end());
  return parents;
}

/// The bytes of the blobs of each layer that has some, those of its forms among them.
std::unordered_map<std::int64_t, std::int64_t> list_blob_bytes(Database& database) {
  std::unordered_map<std::int64_t, std::int64_t> bytes;
  Query rows = database.query(
      "SELECT l.layer, b.size FROM layer_blobs l JOIN blobs b ON b.digest = l.digest "
      "UNION ALL SELECT f.layer, b.size FROM layer_forms f JOIN blobs b ON b.digest = f.digest "
      "WHERE NOT EXISTS (SELECT 1 FROM layer_blobs l WHERE l.layer = f.layer AND "
      "l.digest = f.digest)");
  while (rows.next()) bytes[rows.integer(0)] += rows.integer(1);
  return bytes;
}

/// What of the columns id, created_at, last_used_at, usage_count, size, description is the same for
/// all records.
UsageRecord make_record(const Query& row, std::string id) {
  UsageRecord record;
  record.id = std::move(id);
  record.created_at = to_timestamp(row.integer(1));
  record.last_used_at = to_timestamp(row.integer(2));
  record.usage_count = row.integer(3);
  record.size = row.integer(4);
  record.description = row.text(5);
  return record;
}

void list_caches(Database& database, const std::filesystem::path& root,
                 std::vector<UsageRecord>& records) {
  auto const in_use = leased_caches(database, root);
  Query row = database.query(
      "SELECT id, created_at, last_used_at, usage_count, size, description FROM caches "
      "ORDER BY id");
  while (row.next()) {
    std::string const id = row.text(0);
    UsageRecord record = make_record(row, cache_record_id(id));
    record.mutable_ = true;
    record.kind = RecordKind::kCacheMount;
    record.in_use = in_use.contains(id);
    if (record.in_use) record.size = 0;
    records.push_back(std::move(record));
  }
}

/// Whether a process lives: asked of each once.
class Living {
 public:
  explicit Living(std::filesystem::path leases) : leases_(std::move(leases)) {}
  bool contains(const std::string& process) {
    auto const [found, is_new] = known_.emplace(process, false);
    if (is_new) found->second = is_alive(leases_, process);
    return found->second;
  }

 private:
  std::filesystem::path leases_;
  std::unordered_map<std::string, bool> known_;
};

}  // namespace

std::unordered_set<std::int64_t> leased_layers(Database& database,
                                               const std::filesystem::path& root) {
  std::unordered_set<std::int64_t> layers;
  Living living(root / "leases");
  Query rows = database.query("SELECT process, layer FROM leases");
  while (rows.next()) {
    if (living.contains(rows.text(0))) layers.insert(rows.integer(1));
  }
  return layers;
}

std::unordered_set<std::string> leased_caches(Database& database,
                                              const std::filesystem::path& root) {
  std::unordered_set<std::string> caches;
  Living living(root / "leases");
  Query rows = database.query("SELECT process, cache FROM cache_leases");
  while (rows.next()) {
    if (living.contains(rows.text(0))) caches.insert(rows.text(1));
  }
  return caches;
}

std::string cache_record_id(std::string_view id) {
  return Digest::of(id).hex().substr(0, 25);
}

bool measure_unknown(Database& database, const std::filesystem::path& root,
                     std::chrono::steady_clock::time_point until) {
  auto const unmeasured = list_unmeasured(database, root);
  Sizes sizes;
  for (const Unmeasured& what : unmeasured) {
    sizes.emplace_back(&what, measure_tree(what.directory));
    bool const late = std::chrono::steady_clock::now() >= until;
    if (late || sizes.size() >= kMeasuredMax) write_sizes(database, sizes);
    if (late && &what != &unmeasured.back()) return false;
  }
  write_sizes(database, sizes);
  return true;
}

std::vector<UsageRecord> list_usage(Database& database, const std::filesystem::path& root) {
  auto const in_use = leased_layers(database, root);
  auto const parents = list_parents(database);
  auto const blob_bytes = list_blob_bytes(database);
  std::vector<UsageRecord> records;
  auto parent = parents.begin();
  Query row = database.query(
      "SELECT id, created_at, last_used_at, usage_count, "
      "CASE WHEN has_snapshot THEN coalesce(size, 0) ELSE 0 END, description, kind "
      "FROM layers ORDER BY id");
  while (row.next()) {
    std::int64_t const id = row.integer(0);
    UsageRecord record = make_record(row, std::to_string(id));
    record.kind = static_cast<RecordKind>(row.integer(6));
    record.in_use = in_use.contains(id);
    if (auto const found = blob_bytes.find(id); found != blob_bytes.end())
      record.size += found->second;
    while (parent != parents.end() && parent->first < id) ++parent;
    for (; parent != parents.end() && parent->first == id; ++parent)
      record.parents.push_back(std::to_string(parent->second));
    records.push_back(std::move(record));
  }
  list_caches(database, root, records);
  return records;
}

}  // namespace cobuild::store
