#pragma once

/// How processes that share a store see that one of them lives. Private to core/store.
///
/// A process holds a lock on a file of its own, leases/<name>; the kernel lets go of it however the
/// process ends. What it uses is in rows that bear its name, and mean nothing once the lock is
/// free.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/sys/fs.hpp"

namespace cobuild::store {

class ProcessLease {
 public:
  /// Makes and locks a file in `directory`. \throws Error
  [[nodiscard]] static ProcessLease create(std::filesystem::path directory);
  /// Takes over the lease of a dead process, so that only one process cleans up after it; nullopt
  /// when it lives, or somebody else is at it. Destroying the result ends the lease for good.
  [[nodiscard]] static std::optional<ProcessLease> take_over(std::filesystem::path directory,
                                                             const std::string& name);

  ProcessLease(ProcessLease&&) noexcept = default;
  ProcessLease& operator=(ProcessLease&&) = delete;
  ~ProcessLease();  ///< Removes the file.

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  ProcessLease(std::filesystem::path path, UniqueFd lock);
  std::filesystem::path path_;
  std::string name_;
  UniqueFd lock_;
};

/// The names of all leases in `directory`, living or not.
[[nodiscard]] std::vector<std::string> list_leases(const std::filesystem::path& directory);

/// Whether the process of lease `name` lives.
[[nodiscard]] bool is_alive(const std::filesystem::path& directory, const std::string& name);

/// Held while something is removed that only a lone process may remove. Whoever opens the store
/// makes its lease first and then waits for such a removal to end: so either the remover sees the
/// newcomer, or the newcomer sees a store from which the things are gone.
class CollectorLock {
 public:
  /// Waits for other collectors and for processes that are just opening the store. Blocking.
  explicit CollectorLock(const std::filesystem::path& leases);
  static void wait_for_others(const std::filesystem::path& leases);

 private:
  UniqueFd directory_;
};

}  // namespace cobuild::store
