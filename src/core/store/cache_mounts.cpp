#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/go_time.hpp"
#include "core/store/empty_mounts.hpp"
#include "core/store/store_impl.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCopyMark = "#";
constexpr std::string_view kInputMark = ":";

/// Whether the directory of `id` is one of the cache mount `wanted`.
bool belongs_to(std::string_view id, std::string_view wanted) {
  if (!id.starts_with(wanted)) return false;
  std::string_view const rest = id.substr(wanted.size());
  return rest.empty() || rest.starts_with(kCopyMark) || rest.starts_with(kInputMark);
}

/// Makes `path` a directory, unless it is one.
void make_cache(const fs::path& path, const std::optional<NewLayer>& start) {
  if (start) {
    // Never in place of an empty one, which somebody may have mounted.
    if (::renameat2(AT_FDCWD, start->fs().c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0 ||
        errno == EEXIST) {
      return;
    }
    throw Error::from_errno(errno, "move what a cache mount starts as to " + path.string());
  }
  if (::mkdir(path.c_str(), 0755) == 0) {
    ::chmod(path.c_str(), 0755);  // Whatever the umask is.
  } else if (errno != EEXIST) {
    throw Error::from_errno(errno, "make " + path.string());
  }
}

/// The ids of all directories of these cache mounts.
std::vector<std::string> directories_of(Database& database, const std::vector<std::string>& mounts) {
  std::vector<std::string> found;
  Query rows = database.query("SELECT id FROM caches");
  while (rows.next()) {
    std::string id = rows.text(0);
    auto const owns = [&id](const std::string& mount) { return belongs_to(id, mount); };
    if (std::any_of(mounts.begin(), mounts.end(), owns)) found.push_back(std::move(id));
  }
  return found;
}

}  // namespace

Task<fs::path> Store::cache_mount(std::string id, std::string description,
                                  std::optional<NewLayer> start) {
  auto path = impl_->cache_path(id);
  auto job = [path, id, description = std::move(description), start = std::move(start),
              lease = impl_->lease.name()](Database& database) {
    // Within the transaction, so that a collector cannot come between directory and row.
    make_cache(path, start);
    std::int64_t const time = to_integer(now());
    database.run(
        "INSERT INTO caches(id, description, created_at, last_used_at, usage_count) "
        "VALUES(?, ?, ?, ?, 1) ON CONFLICT(id) DO UPDATE SET "
        "last_used_at = excluded.last_used_at, usage_count = usage_count + 1, size = NULL",
        {std::string_view(id), std::string_view(description), time, time});
    database.run("INSERT OR IGNORE INTO cache_leases(process, cache) VALUES(?, ?)",
                 {std::string_view(lease), std::string_view(id)});
    return true;
  };
  co_await impl_->write(std::move(job));
  impl_->leased_caches.insert(id);
  co_return path;
}

void drop_empty_cache_mount(Store& store, const std::string& id) {
  if (!store.has_cache_mount(id)) return;
  auto const lock = store.try_lock(Store::cache_mount_lock(id));
  if (lock) ::rmdir(store.impl().cache_path(id).c_str());  // Fails unless it is empty.
}

bool Store::has_cache_mount(const std::string& id) const {
  std::error_code ignored;
  return fs::is_directory(impl_->cache_path(id), ignored);
}

std::string Store::cache_mount_copy(const std::string& id, int copy) {
  return copy == 0 ? id : id + std::string(kCopyMark) + std::to_string(copy);
}

std::string Store::cache_mount_on(const std::string& id, const std::string& input) {
  return id + std::string(kInputMark) + input;
}

Task<void> Store::clear_cache_mounts(std::vector<std::string> ids) {
  for (const std::string& id : directories_of(impl_->reader, ids)) {
    auto const lock = try_lock(cache_mount_lock(id));
    if (!lock) continue;
    auto const trash = std::make_shared<TempDir>(TempDir::create(impl_->scratch_path(), "cache-"));
    // Aside first: whoever mounts it from now on finds none, and makes a new one.
    fs::path const aside = trash->path() / "old";
    if (::rename(impl_->cache_path(id).c_str(), aside.c_str()) != 0) continue;
    auto remove = [trash, aside] {
      remove_tree(aside);
      return true;
    };
    co_await offload(impl_->pool, std::move(remove));
  }
}

}  // namespace cobuild::store
