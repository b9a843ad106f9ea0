#include "core/store/database.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::store {
namespace {

/// Twice what the automatic checkpoint lets it grow to: only after transactions of many rows.
constexpr std::uintmax_t kLogBytesKept = 2 << 20;

// Kept small: what is in the write-ahead log is read when the next process opens the store.
constexpr const char* kSettings =
    "PRAGMA synchronous=NORMAL;"
    "PRAGMA wal_autocheckpoint=256;"
    "PRAGMA foreign_keys=OFF;"
    "PRAGMA temp_store=MEMORY;";

ErrorKind kind_of(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_NOMEM: return ErrorKind::kUnavailable;
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH: return ErrorKind::kDenied;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ErrorKind::kCorrupt;
    default: return ErrorKind::kInternal;
  }
}

/// ": No space left on device", when the system said why.
std::string reason_of(sqlite3* handle, int code) {
  bool const asked_the_system = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
  int const reason = handle != nullptr && asked_the_system ? ::sqlite3_system_errno(handle) : 0;
  return reason != 0 ? ": " + std::system_category().message(reason) : "";
}

std::string remedy_of(int code) {
  switch (code & 0xff) {
    case SQLITE_BUSY: return " (another process has kept it locked)";
    case SQLITE_FULL: return " (the disk is full: free some space, or run \"cobuild prune\")";
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM: return " (choose a directory you may write with --root)";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return " (remove the store's directory, or choose another with --root)";
    default: return "";
  }
}

}  // namespace

Value to_value(const Digest& digest) {
  return BlobValue{{reinterpret_cast<const char*>(digest.bytes().data()), Digest::kByteCount}};
}

Value to_value(const std::optional<Digest>& digest) {
  return digest ? to_value(*digest) : Value{};
}

Query::Query(Query&& other) noexcept
    : owner_(other.owner_),
      sql_(other.sql_),
      statement_(std::exchange(other.statement_, nullptr)) {}

Query::~Query() {
  if (statement_ != nullptr) owner_->give_back(sql_, statement_);
}

bool Query::next() {
  int const code = ::sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  owner_->fail(code, sql_);
}

std::int64_t Query::integer(int column) const {
  return ::sqlite3_column_int64(statement_, column);
}

std::string Query::text(int column) const {
  const void* bytes = ::sqlite3_column_blob(statement_, column);
  int const size = ::sqlite3_column_bytes(statement_, column);
  return bytes == nullptr
             ? std::string()
             : std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

bool Query::is_null(int column) const {
  return ::sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

Digest Query::digest(int column) const {
  std::string const bytes = text(column);
  if (bytes.size() != Digest::kByteCount) {
    throw Error(ErrorKind::kCorrupt, owner_->path_.string() + " has a digest of the wrong size");
  }
  Digest::Bytes out;
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return Digest(out);
}

std::optional<Digest> Query::optional_digest(int column) const {
  if (is_null(column)) return std::nullopt;
  return digest(column);
}

Database::Database(std::filesystem::path path, std::chrono::milliseconds busy_timeout)
    : path_(std::move(path)) {
  // NOMUTEX: one thread at a time is this class's rule already.
  int const flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  int const code = ::sqlite3_open_v2(path_.c_str(), &handle_, flags, nullptr);
  try {
    if (code != SQLITE_OK) fail(code, "open");
    ::sqlite3_extended_result_codes(handle_, 1);
    ::sqlite3_busy_timeout(handle_, static_cast<int>(busy_timeout.count()));
    // A checkpoint on close would make every build end with two waits for the disk.
    ::sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
    script(kSettings);
  } catch (...) {
    ::sqlite3_close_v2(handle_);
    throw;
  }
}

Database::~Database() {
  for (auto& [sql, statement] : idle_) ::sqlite3_finalize(statement);
  empty_long_log();
  ::sqlite3_close_v2(handle_);
}

void Database::empty_long_log() noexcept {
  std::error_code none;
  auto const bytes = std::filesystem::file_size(path_.string() + "-wal", none);
  if (none || bytes <= kLogBytesKept) return;
  ::sqlite3_busy_timeout(handle_, 0);  // Others at work: they, or the next one, will do it.
  ::sqlite3_wal_checkpoint_v2(handle_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
}

Query Database::query(std::string_view sql, std::initializer_list<Value> values) {
  sqlite3_stmt* statement = nullptr;
  if (auto found = idle_.find(sql); found != idle_.end()) {
    statement = found->second;
    idle_.erase(found);
  } else {
    int const code = ::sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()),
                                          SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) fail(code, sql);
  }
  Query query(this, sql, statement);
  int index = 0;
  for (const Value& value : values) {
    ++index;
    int code = SQLITE_OK;
    if (auto* integer = std::get_if<std::int64_t>(&value)) {
      code = ::sqlite3_bind_int64(statement, index, *integer);
    } else if (auto* text = std::get_if<std::string_view>(&value)) {
      // An empty view may have no data; SQLite would bind that as NULL.
      code = ::sqlite3_bind_text64(statement, index, text->empty() ? "" : text->data(),
                                   text->size(), SQLITE_STATIC, SQLITE_UTF8);
    } else if (auto* blob = std::get_if<BlobValue>(&value)) {
      code = ::sqlite3_bind_blob64(statement, index, blob->bytes.empty() ? "" : blob->bytes.data(),
                                   blob->bytes.size(), SQLITE_STATIC);
    }
    if (code != SQLITE_OK) fail(code, sql);
  }
  return query;
}

void Database::run(std::string_view sql, std::initializer_list<Value> values) {
  Query running = query(sql, values);
  while (running.next()) {
  }
}

void Database::script(const std::string& sql) {
  int const code = ::sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code, sql);
}

std::int64_t Database::last_insert_id() const {
  return ::sqlite3_last_insert_rowid(handle_);
}

std::int64_t Database::changes() const {
  return ::sqlite3_changes64(handle_);
}

void Database::set_durability(Durability durability) {
  script(durability == Durability::kFull ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL");
}

void Database::fail(int code, std::string_view doing) const {
  std::string what = "store " + path_.string() + ": ";
  what += handle_ != nullptr ? ::sqlite3_errmsg(handle_) : ::sqlite3_errstr(code);
  what += reason_of(handle_, code);
  what += remedy_of(code);
  ErrorKind const kind = kind_of(code);
  if (kind == ErrorKind::kInternal) what += " in: " + std::string(doing);
  throw Error(kind, what);
}

void Database::give_back(std::string_view sql, sqlite3_stmt* statement) noexcept {
  ::sqlite3_reset(statement);
  ::sqlite3_clear_bindings(statement);
  bool kept = false;
  try {
    kept = idle_.emplace(sql, statement).second;
  } catch (...) {  // no memory to remember it by
  }
  if (!kept) ::sqlite3_finalize(statement);
}

Transaction::Transaction(Database& database) : database_(database) {
  // IMMEDIATE: waiting for the lock at the start cannot deadlock; upgrading a read later can.
  database_.run("BEGIN IMMEDIATE");
}

Transaction::~Transaction() {
  if (!open_) return;
  try {
    database_.run("ROLLBACK");
  } catch (...) {  // SQLite has rolled back by itself
  }
}

void Transaction::commit() {
  database_.run("COMMIT");
  open_ = false;
}

}  // namespace cobuild::store
