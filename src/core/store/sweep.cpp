// Removing what dead processes left behind.

#include <fcntl.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "core/store/store_impl.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

/// A lease's name, as opposed to a digest of a partial download.
constexpr std::size_t kLeaseNameSize = 16;

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

void sweep_dead_processes(Database& database, const std::filesystem::path& root,
                          const std::string& own_lease) {
  auto const leases = root / "leases";
  for (const std::string& name : list_leases(leases)) {
    if (name == own_lease) continue;
    auto const dead = ProcessLease::take_over(leases, name);
    if (!dead) continue;
    remove_tree(root / "ingest" / name);
    Transaction transaction(database);
    remove_leases_of(database, name);
    transaction.commit();
  }
  // A process makes its lease before its directory, so one without a lease is nobody's.
  for (const std::string& name : names_in(root / "ingest")) {
    std::error_code error;
    if (name.starts_with(kDiscarded)) {
      remove_tree(root / "ingest" / name);
      continue;
    }
    if (name.size() != kLeaseNameSize || name == own_lease) continue;
    if (!std::filesystem::exists(leases / name, error) && !error)
      remove_tree(root / "ingest" / name);
  }
}

}  // namespace cobuild::store
