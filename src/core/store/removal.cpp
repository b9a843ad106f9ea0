#include "core/store/removal.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <map>
#include <system_error>
#include <unordered_set>
#include <utility>

#include "core/base/error.hpp"
#include "core/store/durability.hpp"
#include "core/store/store_impl.hpp"
#include "core/store/usage.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

/// Notes beyond this are dropped, oldest first: each can be computed again.
constexpr std::int64_t kNotesMax = 500'000;
/// Files up to this are removed with the lock held: the file systems have few blocks to free then.
constexpr std::int64_t kSmallFileBytes = std::int64_t{1} << 20;
/// Builds whose logs are kept.
constexpr std::size_t kBuildLogsMax = 50;

bool is_alone(const std::filesystem::path& root, const std::string& own_lease) {
  auto const names = list_leases(root / "leases");
  return std::none_of(names.begin(), names.end(), [&](const std::string& name) {
    return name != own_lease && is_alive(root / "leases", name);
  });
}

/// Commits that outlast a power cut, for as long as this lives.
class DurableCommits {
 public:
  explicit DurableCommits(Database& database) : database_(database) {
    database_.set_durability(Database::Durability::kFull);
  }
  DurableCommits(const DurableCommits&) = delete;
  DurableCommits& operator=(const DurableCommits&) = delete;
  ~DurableCommits() {
    try {
      database_.set_durability(Database::Durability::kNormal);
    } catch (...) {  // later commits take longer, and that is all
    }
  }

 private:
  Database& database_;
};

/// Whether removing it takes no longer than moving it away would.
bool is_small_file(const std::filesystem::path& path) {
  struct stat status{};
  return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         status.st_size <= kSmallFileBytes;
}

/// Directories that discarded files are spread over, each emptied by one thread at a time.
using Trash = std::array<TempDir, 2>;

/// Removes the small files in root/`part`, but for `kept`, moves what else there is into `trash`, and
/// adds the paths in the store of both to `gone`.
void discard_but(const std::filesystem::path& root, const std::string& part,
                 const std::unordered_set<std::string>& kept, const Trash& trash,
                 std::vector<std::string>& gone) {
  for (const std::string& name : names_in(root / part)) {
    if (kept.contains(name)) continue;
    std::string path = part + "/" + name;
    auto const from = root / path;
    if (is_small_file(from)) {
      if (::unlink(from.c_str()) != 0) throw Error::from_errno(errno, "remove " + from.string());
    } else {
      const TempDir& directory = trash.at(gone.size() % trash.size());
      auto const target = directory.path() / std::to_string(gone.size());
      if (::rename(from.c_str(), target.c_str()) != 0)
        throw Error::from_errno(errno, "rename " + from.string());
    }
    gone.push_back(std::move(path));
  }
}

}  // namespace

std::vector<std::string> discard_stray_files(Database& database, const std::filesystem::path& root,
                                             const std::string& lease) {
  // Filled where nobody else looks: others remove what they find under the final name.
  auto const ingest = root / "ingest";
  auto const make_directory = [&] {
    return TempDir::create(ingest / lease, std::string(kDiscarded) + lease + "-");
  };
  Trash trash{make_directory(), make_directory()};
  // Nobody adds the same blob or cache between the question whether there is a row and the rename.
  // Renames are quick; the removal is done without the lock.
  Transaction transaction(database);
  std::unordered_set<std::string> layers;
  std::unordered_set<std::string> blobs;
  std::unordered_set<std::string> caches;
  {
    Query rows = database.query("SELECT id FROM layers WHERE has_snapshot = 1");
    while (rows.next()) layers.insert(std::to_string(rows.integer(0)));
  }
  {
    Query rows = database.query("SELECT digest FROM blobs");
    while (rows.next()) blobs.insert(rows.digest(0).hex());
  }
  {
    Query rows = database.query("SELECT id FROM caches");
    while (rows.next()) caches.insert(Digest::of(rows.text(0)).hex());
  }
  std::vector<std::string> gone;
  discard_but(root, "snapshots", layers, trash, gone);
  discard_but(root, "blobs/sha256", blobs, trash, gone);
  discard_but(root, "caches", caches, trash, gone);
  transaction.commit();
  if (!gone.empty()) {
    for (TempDir& directory : trash) directory.commit_as(ingest / directory.path().filename());
  }
  return gone;
}

Removal::Removal(Database& database, std::filesystem::path root, std::string lease)
    : database_(database), root_(std::move(root)), lease_(std::move(lease)) {}

std::vector<UsageRecord> Removal::remove(std::vector<UsageRecord> records) {
  Transaction transaction(database_);
  // Asked again: in the time since the choice, somebody may have found one of them in the cache.
  auto const layers = leased_layers(database_, root_);
  auto const caches = leased_caches(database_, root_);
  std::map<std::string, std::string> cache_ids;
  {
    Query rows = database_.query("SELECT id FROM caches");
    while (rows.next()) cache_ids[cache_record_id(rows.text(0))] = rows.text(0);
  }
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
    forget_layer(database_, id);
    return false;
  });
  transaction.commit();
  return records;
}

void Removal::finish(bool everything) {
  {
    CollectorLock const lock(root_ / "leases");
    alone_ = is_alone(root_, lease_);
    commit_durably();
    if (everything) remove_partial_downloads();
    (void)discard_stray_files(database_, root_, lease_);
  }
  remove_old_logs();
}

void Removal::commit_durably() {
  DurableCommits const durable(database_);
  Transaction transaction(database_);
  remove_unreferenced();
  // A commit of nothing would not wait for the disk, and those before it did not.
  database_.run("INSERT OR REPLACE INTO state(name, value) VALUES('removed', ?)",
                {std::string_view(lease_)});
  transaction.commit();
}

void Removal::remove_unreferenced() {
  // A blob has no lease of its own: another process may have seen that it is there and be about to
  // read it. So while there is one, blobs stay, for the next time. So do keys, which others know by
  // their numbers.
  if (alone_) {
    database_.run(
        "DELETE FROM blobs WHERE digest NOT IN (SELECT digest FROM layer_blobs) "
        "AND digest NOT IN (SELECT digest FROM layer_forms)");
    remove_lost_keys();
  }
  Query count = database_.query("SELECT count(*) FROM notes");
  if (!count.next() || count.integer(0) <= kNotesMax) return;
  database_.run(
      "DELETE FROM notes WHERE (topic, name) IN (SELECT topic, name FROM notes "
      "ORDER BY written_at DESC LIMIT -1 OFFSET ?)",
      {kNotesMax});
}

void Removal::remove_lost_keys() {
  // A key leads somewhere while it has a result, or a link to one that does. From the far end
  // inwards.
  std::vector<std::int64_t> lost;
  auto const collect = [&](Query rows) {
    while (rows.next()) lost.push_back(rows.integer(0));
  };
  collect(
      database_.query("SELECT id FROM keys WHERE id NOT IN (SELECT key FROM results) "
                      "AND id NOT IN (SELECT source FROM links)"));
  while (!lost.empty()) {
    std::int64_t const key = lost.back();
    lost.pop_back();
    std::vector<std::int64_t> sources;
    {
      Query rows = database_.query("SELECT DISTINCT source FROM links WHERE target = ?", {key});
      while (rows.next()) sources.push_back(rows.integer(0));
    }
    database_.run("DELETE FROM links WHERE target = ?", {key});
    database_.run("DELETE FROM keys WHERE id = ?", {key});
    for (std::int64_t const source : sources) {
      collect(
          database_.query("SELECT ? WHERE NOT EXISTS (SELECT 1 FROM results WHERE key = ?) "
                          "AND NOT EXISTS (SELECT 1 FROM links WHERE source = ?)",
                          {source, source, source}));
    }
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
