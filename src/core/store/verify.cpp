#include "core/store/verify.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/store/durability.hpp"
#include "core/store/removal.hpp"
#include "core/store/store_impl.hpp"
#include "core/store/tree_checksum.hpp"

namespace cobuild::store {
namespace {

/// Blobs read at once.
constexpr std::size_t kReadsMax = 4;
constexpr std::size_t kChunk = std::size_t{1} << 18;

struct BlobRow {
  Digest digest;
  std::int64_t size;
  std::int64_t unsynced;  ///< Tells it from one that was collected and written again.
};

struct LayerRow {
  LayerId id;
  std::string checksum;  ///< Empty: none.
};

/// Which file was looked at; nullopt: there was none.
using FileId = std::optional<std::pair<dev_t, ino_t>>;

FileId file_id(const std::filesystem::path& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return std::nullopt;
  return std::pair(status.st_dev, status.st_ino);
}

struct BlobCheck {
  FileId file;
  std::string problem;  ///< Empty: it is whole.
};

BlobCheck check_blob(const std::filesystem::path& path, const BlobRow& row) {
  UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return {std::nullopt, "its file is missing"};
  if (!fd && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
    throw Error::from_errno(errno, "open " + path.string());
  if (!fd) return {file_id(path), "cannot be opened: " + std::string(::strerror(errno))};
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw Error::from_errno(errno, "stat " + path.string());
  FileId const file = std::pair(status.st_dev, status.st_ino);
  if (status.st_size != row.size) {
    return {file,
            "has " + std::to_string(status.st_size) + " bytes, not " + std::to_string(row.size)};
  }
  DigestWriter digest;
  std::vector<std::byte> chunk(kChunk);
  for (;;) {
    ssize_t const count = ::read(fd.get(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return {file, "cannot be read: " + std::string(::strerror(errno))};
    if (count == 0) break;
    digest.write(std::span(chunk).first(static_cast<std::size_t>(count)));
  }
  Digest const is = digest.finish();
  if (is == row.digest) return {file, {}};
  return {file, "has the digest " + is.to_string()};
}

std::vector<BlobRow> list_blobs(Database& database) {
  std::vector<BlobRow> out;
  Query rows = database.query("SELECT digest, size, unsynced FROM blobs ORDER BY digest");
  while (rows.next()) out.push_back({rows.digest(0), rows.integer(1), rows.integer(2)});
  return out;
}

std::vector<LayerRow> list_layers(Database& database) {
  std::vector<LayerRow> out;
  Query rows = database.query("SELECT id, checksum FROM layers WHERE has_snapshot = 1 ORDER BY id");
  while (rows.next()) out.push_back({{rows.integer(0)}, rows.text(1)});
  return out;
}

/// Forgets a blob, and the layers that have nothing else, within the caller's transaction.
void forget_blob(Database& database, const Digest& digest) {
  std::vector<std::int64_t> layers;
  {
    Query rows =
        database.query("SELECT layer FROM layer_blobs WHERE digest = ?", {to_value(digest)});
    while (rows.next()) layers.push_back(rows.integer(0));
  }
  database.run("DELETE FROM blobs WHERE digest = ?", {to_value(digest)});
  database.run("DELETE FROM layer_forms WHERE digest = ?", {to_value(digest)});
  database.run("DELETE FROM layer_blobs WHERE digest = ? AND sources = ''", {to_value(digest)});
  for (std::int64_t const layer : layers) {
    bool const is_empty =
        database
            .query(
                "SELECT 1 FROM layers WHERE id = ? AND has_snapshot = 0 "
                "AND NOT EXISTS (SELECT 1 FROM layer_blobs WHERE layer = layers.id)",
                {layer})
            .next();
    if (is_empty) forget_layer(database, layer);
  }
}

std::string describe(Database& database, LayerId id) {
  Query row = database.query("SELECT description FROM layers WHERE id = ?", {id.value});
  return row.next() ? row.text(0) : std::string();
}

/// One verification. Lives in the coroutine that began it.
class Verification {
 public:
  explicit Verification(Store& store) : impl_(store.impl()) {}

  Task<VerifyReport> run() {
    co_await impl_.publish();
    check_index();
    std::vector<BlobRow> blobs = list_blobs(impl_.reader);
    auto read_blob = [this](const BlobRow& row) { return verify_blob(row); };
    co_await for_each_bounded(std::move(blobs), kReadsMax, read_blob);
    for (const LayerRow& row : list_layers(impl_.reader)) co_await verify_layer(row);
    co_await drop_broken_results();
    auto clear = [root = impl_.root, lease = impl_.lease.name()](Database& database) {
      auto strays = discard_stray_files(database, root, lease);
      (void)remove_discarded(root, std::chrono::steady_clock::time_point::max());
      return strays;
    };
    report_.strays = co_await impl_.write_in_steps(std::move(clear));
    std::sort(report_.damages.begin(), report_.damages.end(), [](const Damage& a, const Damage& b) {
      return std::tie(a.kind, a.name) < std::tie(b.kind, b.name);
    });
    co_return std::move(report_);
  }

 private:
  void check_index() {
    Query row = impl_.reader.query("PRAGMA quick_check(1)");
    std::string const answer = row.next() ? row.text(0) : "no answer";
    while (row.next()) {
    }
    if (answer == "ok") return;
    throw Error(ErrorKind::kCorrupt, impl_.reader.path().string() + " is damaged (" + answer +
                                         "): remove the store " + impl_.root.string() +
                                         ", or choose another one with --root");
  }

  void found(Damage::Kind kind, std::string name, std::string problem) {
    report_.damages.push_back({kind, std::move(name), std::move(problem)});
  }

  Task<void> verify_blob(BlobRow row) {
    auto const path = impl_.blob_path(row.digest);
    auto read = [path, row] { return check_blob(path, row); };
    BlobCheck const check = co_await offload(impl_.pool, std::move(read));
    ++report_.blobs;
    report_.bytes += row.size;
    if (check.problem.empty()) co_return;
    auto drop = [path, row, file = check.file, root = impl_.root](Database& database) {
      bool const is_the_same =
          file_id(path) == file &&
          database
              .query("SELECT 1 FROM blobs WHERE digest = ? AND unsynced IN (0, ?)",
                     {to_value(row.digest), row.unsynced})
              .next();
      if (!is_the_same) return false;
      forget_blob(database, row.digest);
      auto const aside = root / "ingest" / (std::string(kDiscarded) + row.digest.hex());
      if (file && ::rename(path.c_str(), aside.c_str()) != 0)
        throw Error::from_errno(errno, "rename " + path.string());
      return true;
    };
    if (co_await impl_.write(std::move(drop)))
      found(Damage::Kind::kBlob, row.digest.to_string(), check.problem);
  }

  Task<void> verify_layer(LayerRow row) {
    ++report_.layers;
    auto const path = impl_.snapshot_path(row.id) / "fs";
    std::error_code ignored;
    bool const is_here = std::filesystem::is_directory(path, ignored);
    if (is_here && row.checksum.empty()) co_return;
    if (is_here && co_await tree_checksum(impl_.pool, path) == row.checksum) co_return;
    auto drop = [path, row, is_here, root = impl_.root](Database& database) {
      std::string const description = describe(database, row.id);
      std::error_code gone;
      bool const is_the_same =
          std::filesystem::is_directory(path, gone) == is_here &&
          database.query("SELECT 1 FROM layers WHERE id = ? AND has_snapshot = 1", {row.id.value})
              .next();
      if (!is_the_same) return std::optional<std::string>();
      drop_snapshot(database, root, row.id.value);
      return std::optional(description);
    };
    auto const description = co_await impl_.write(std::move(drop));
    if (!description) co_return;
    std::string name = std::to_string(row.id.value);
    if (!description->empty()) name += " (" + *description + ")";
    found(Damage::Kind::kLayer, std::move(name),
          is_here ? "its files are not what was written" : "its files are missing");
  }

  Task<void> drop_broken_results() {
    auto drop = [](Database& database) {
      constexpr std::string_view kBroken =
          "DELETE FROM results WHERE id IN (SELECT result FROM result_layers "
          "WHERE layer NOT IN (SELECT id FROM layers))";
      database.run(kBroken);
      std::int64_t const count = database.changes();
      database.run("DELETE FROM result_layers WHERE result NOT IN (SELECT id FROM results)");
      return count;
    };
    std::int64_t const count = co_await impl_.write(std::move(drop));
    if (count > 0) found(Damage::Kind::kResult, std::to_string(count), "their layers are missing");
  }

  Store::Impl& impl_;
  VerifyReport report_;
};

}  // namespace

std::string_view to_string(Damage::Kind kind) noexcept {
  switch (kind) {
    case Damage::Kind::kBlob: return "blob";
    case Damage::Kind::kLayer: return "layer";
    case Damage::Kind::kResult: return "result";
  }
  return "blob";
}

Task<VerifyReport> verify_store(Store& store) {
  Verification verification(store);
  co_return co_await verification.run();
}

}  // namespace cobuild::store
