// Removing what dead processes left behind.

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <vector>

#include "core/base/error.hpp"
#include "core/store/removal.hpp"
#include "core/store/store_impl.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

/// A lease's name, as opposed to a digest of a partial download.
constexpr std::size_t kLeaseNameSize = 16;

/// Renames a directory in ingest/ to what remove_discarded looks for.
void discard(const std::filesystem::path& path) {
  auto const target = path.parent_path() / (std::string(kDiscarded) + path.filename().string());
  if (::rename(path.c_str(), target.c_str()) != 0 && errno != ENOENT)
    throw Error::from_errno(errno, "rename " + path.string());
}

void remove_leases_of(Database& database, const std::string& process) {
  std::string_view const name = process;
  database.run("DELETE FROM leases WHERE process = ?", {name});
  database.run("DELETE FROM cache_leases WHERE process = ?", {name});
}

}  // namespace

std::vector<std::string> names_in(const std::filesystem::path& directory) {
  UniqueFd const fd = open_file(directory, O_RDONLY | O_DIRECTORY);
  std::vector<std::string> names;
  for (DirectoryEntry& entry : list_directory(fd.get())) names.push_back(std::move(entry.name));
  return names;
}

bool remove_discarded(const std::filesystem::path& root,
                      std::chrono::steady_clock::time_point until) {
  for (const std::string& name : names_in(root / "ingest")) {
    if (!name.starts_with(kDiscarded)) continue;
    auto const path = root / "ingest" / name;
    // Two who empty one directory would be in each other's way.
    UniqueFd const directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0) continue;
    if (!remove_tree_until(path, until)) return false;
  }
  return true;
}

void sweep_dead_processes(Database& database, const std::filesystem::path& root,
                          const std::string& own_lease) {
  auto const leases = root / "leases";
  bool is_any_dead = false;
  for (const std::string& name : list_leases(leases)) {
    if (name == own_lease) continue;
    auto const dead = ProcessLease::take_over(leases, name);
    if (!dead) continue;
    is_any_dead = true;
    discard(root / "ingest" / name);
    Transaction transaction(database);
    remove_leases_of(database, name);
    transaction.commit();
  }
  // A process makes its lease before its directory, so one without a lease is nobody's.
  for (const std::string& name : names_in(root / "ingest")) {
    std::error_code error;
    if (name.size() != kLeaseNameSize || name == own_lease) continue;
    if (!std::filesystem::exists(leases / name, error) && !error) discard(root / "ingest" / name);
  }
  // It may have been a collector, or have died between files and row.
  if (is_any_dead) (void)discard_stray_files(database, root, own_lease);
}

}  // namespace cobuild::store
