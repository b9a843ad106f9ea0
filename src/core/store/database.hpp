#pragma once

/// SQLite, as the store uses it: cached statements, typed values, errors with a remedy. Private to
/// core/store. One Database is one connection and is used by one thread at a time.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

#include "core/base/digest.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace cobuild::store {

/// Bytes, as opposed to text. Borrowed.
struct BlobValue {
  std::string_view bytes;
};

/// A bound parameter. Text and bytes must live until the query has been stepped for the last time.
using Value = std::variant<std::monostate, std::int64_t, std::string_view, BlobValue>;

[[nodiscard]] Value to_value(const Digest& digest);
[[nodiscard]] Value to_value(const std::optional<Digest>& digest);

class Database;

/// A running statement. Its columns are those of the row that next() went to.
class Query {
 public:
  Query(Query&& other) noexcept;
  Query& operator=(Query&&) = delete;
  ~Query();

  /// Goes to the next row; false after the last. \throws Error
  bool next();

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string text(int column) const;  ///< Also of blobs.
  [[nodiscard]] bool is_null(int column) const;
  /// \throws Error kCorrupt when the column does not hold 32 bytes.
  [[nodiscard]] Digest digest(int column) const;
  [[nodiscard]] std::optional<Digest> optional_digest(int column) const;

 private:
  friend class Database;
  Query(Database* owner, std::string_view sql, sqlite3_stmt* statement)
      : owner_(owner), sql_(sql), statement_(statement) {}
  Database* owner_;
  std::string_view sql_;
  sqlite3_stmt* statement_;
};

class Database {
 public:
  enum class Durability {
    kNormal,  ///< A commit survives the death of the process, perhaps not of the machine.
    kFull,    ///< A commit survives both: costs a wait for the disk.
  };

  /// Opens or makes the file. `busy_timeout`: how long to wait for another process's transaction.
  /// \throws Error kDenied, kUnavailable or kCorrupt with the path and what to do.
  Database(std::filesystem::path path, std::chrono::milliseconds busy_timeout);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Starts a statement. `sql` must be a literal: it names the statement in the cache.
  [[nodiscard]] Query query(std::string_view sql, std::initializer_list<Value> values = {});
  /// Runs a statement that returns no rows.
  void run(std::string_view sql, std::initializer_list<Value> values = {});
  /// Runs several statements without parameters.
  void script(const std::string& sql);

  [[nodiscard]] std::int64_t last_insert_id() const;
  [[nodiscard]] std::int64_t changes() const;  ///< Rows that the last run() changed.
  void set_durability(Durability durability);
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  /// A long write-ahead log is read by everybody who opens the database, until it is written anew: it
  /// is emptied by who leaves it. Its pages are mostly in the database already.
  void empty_long_log() noexcept;
  friend class Query;
  [[noreturn]] void fail(int code, std::string_view doing) const;
  void give_back(std::string_view sql, sqlite3_stmt* statement) noexcept;

  std::filesystem::path path_;
  sqlite3* handle_ = nullptr;
  std::unordered_map<std::string_view, sqlite3_stmt*> idle_;
};

/// A write transaction; rolled back unless committed.
class Transaction {
 public:
  explicit Transaction(Database& database);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool open_ = true;
};

}  // namespace cobuild::store
