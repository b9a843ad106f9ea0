#include "core/store/schema.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <string>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::store {
namespace {

// AUTOINCREMENT: ids of layers are in notes and chains that may outlive the layer, so they must
// never come again.
//
// unsynced: not 0: written since the last syncfs, so that its files are not to be trusted after a
// power cut; 2, of layers only: suspect. checksum: what an unsynced layer's files were, NULL while
// nobody has looked (see durability.hpp).
//
// layer_forms: the blobs that notes about a layer speak of, and that live as long as it does.
constexpr const char* kTables = R"sql(
CREATE TABLE state(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE layers(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  chain_id BLOB UNIQUE,
  diff_id BLOB,
  has_snapshot INTEGER NOT NULL,
  unsynced INTEGER NOT NULL,
  amends INTEGER,
  checksum TEXT,
  size INTEGER,
  description TEXT NOT NULL,
  kind INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  last_used_at INTEGER NOT NULL,
  usage_count INTEGER NOT NULL);
CREATE INDEX layers_unsynced ON layers(id) WHERE unsynced <> 0;

CREATE TABLE layer_blobs(
  layer INTEGER NOT NULL,
  digest BLOB NOT NULL,
  size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  sources TEXT NOT NULL,
  PRIMARY KEY(layer, digest)) WITHOUT ROWID;
CREATE INDEX layer_blobs_digest ON layer_blobs(digest);

CREATE TABLE layer_forms(
  layer INTEGER NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY(layer, digest)) WITHOUT ROWID;
CREATE INDEX layer_forms_digest ON layer_forms(digest);

CREATE TABLE blobs(
  digest BLOB PRIMARY KEY,
  size INTEGER NOT NULL,
  unsynced INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX blobs_unsynced ON blobs(digest) WHERE unsynced <> 0;

CREATE TABLE leases(
  process TEXT NOT NULL,
  layer INTEGER NOT NULL,
  PRIMARY KEY(process, layer)) WITHOUT ROWID;

CREATE TABLE cache_leases(
  process TEXT NOT NULL,
  cache TEXT NOT NULL,
  PRIMARY KEY(process, cache)) WITHOUT ROWID;

CREATE TABLE caches(
  id TEXT PRIMARY KEY,
  description TEXT NOT NULL,
  size INTEGER,
  created_at INTEGER NOT NULL,
  last_used_at INTEGER NOT NULL,
  usage_count INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE keys(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  op BLOB NOT NULL,
  root INTEGER NOT NULL);
CREATE UNIQUE INDEX keys_root ON keys(op) WHERE root = 1;

CREATE TABLE links(
  source INTEGER NOT NULL,
  input INTEGER NOT NULL,
  op BLOB NOT NULL,
  selector BLOB NOT NULL,
  target INTEGER NOT NULL,
  PRIMARY KEY(source, input, op, selector, target)) WITHOUT ROWID;
CREATE INDEX links_target ON links(target);

CREATE TABLE results(
  id INTEGER PRIMARY KEY,
  key INTEGER NOT NULL,
  chain TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  ingredients TEXT NOT NULL,
  UNIQUE(key, chain));
CREATE TABLE result_layers(
  layer INTEGER NOT NULL,
  result INTEGER NOT NULL,
  PRIMARY KEY(layer, result)) WITHOUT ROWID;
CREATE INDEX result_layers_result ON result_layers(result);

CREATE TABLE notes(
  topic TEXT NOT NULL,
  name TEXT NOT NULL,
  value BLOB NOT NULL,
  written_at INTEGER NOT NULL,
  PRIMARY KEY(topic, name)) WITHOUT ROWID;
)sql";

int read_version(Database& database) {
  Query version = database.query("PRAGMA user_version");
  return version.next() ? static_cast<int>(version.integer(0)) : 0;
}

/// Each format's tables become the next one's. A process with the older version that has the store
/// open goes on: what is added, it does not ask for.
void upgrade(Database& database) {
  Transaction transaction(database);
  int version = read_version(database);  // somebody may have been faster
  if (version == 1) {
    database.script("ALTER TABLE layers ADD COLUMN checksum TEXT");
    database.script("ALTER TABLE layers ADD COLUMN amends INTEGER");
    version = 2;
  }
  if (version == 2) {
    database.script(
        "CREATE TABLE layer_forms(layer INTEGER NOT NULL, digest BLOB NOT NULL, "
        "PRIMARY KEY(layer, digest)) WITHOUT ROWID");
    database.script("CREATE INDEX layer_forms_digest ON layer_forms(digest)");
    version = 3;
  }
  database.script("PRAGMA user_version=" + std::to_string(version));
  transaction.commit();
}

}  // namespace

void prepare_schema(Database& database) {
  int version = read_version(database);
  if (version > 0 && version < kSchemaVersion) {
    upgrade(database);
    version = read_version(database);
  }
  if (version == 0) {
    // SQLite does not wait for others when it changes the journal's mode, so those who find a new
    // store at the same time wait for each other here. It takes milliseconds.
    UniqueFd const directory = open_file(database.path().parent_path(), O_RDONLY | O_DIRECTORY);
    while (::flock(directory.get(), LOCK_EX) != 0) {
      if (errno != EINTR)
        throw Error::from_errno(errno, "lock " + database.path().parent_path().string());
    }
    database.script("PRAGMA journal_mode=WAL");
    Transaction transaction(database);
    version = read_version(database);  // somebody may have been faster
    if (version == 0) {
      database.script(kTables);
      database.script("PRAGMA user_version=" + std::to_string(kSchemaVersion));
      version = kSchemaVersion;
    }
    transaction.commit();
  }
  if (version > kSchemaVersion) {
    throw Error(ErrorKind::kUnsupported,
                "store " + database.path().parent_path().string() + " has format " +
                    std::to_string(version) + ", made by a newer version of cobuild; this one (" +
                    COBUILD_VERSION + ") knows formats up to " + std::to_string(kSchemaVersion) +
                    ": use the newer version, or choose another store with --root");
  }
}

}  // namespace cobuild::store
