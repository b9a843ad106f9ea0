#pragma once

/// Locks by name, among processes and within this one. Private to core/store.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <filesystem>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/async/task.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::store {

/// How a lock is held: by one alone, or by any number at once.
enum class LockMode { kExclusive, kShared };

class LockTable : public std::enable_shared_from_this<LockTable> {
 public:
  LockTable(asio::any_io_executor executor, std::filesystem::path directory)
      : executor_(std::move(executor)), directory_(std::move(directory)) {}

  /// A lock that is held. The last one to let go removes the file; who waits in this process wakes.
  class Held {
   public:
    Held(Held&& other) noexcept = default;
    Held& operator=(Held&& other) noexcept;
    ~Held() { release(); }

   private:
    friend class LockTable;
    Held(std::shared_ptr<LockTable> table, std::filesystem::path path, UniqueFd fd);
    void release() noexcept;
    [[nodiscard]] bool is_alone() const noexcept;
    std::shared_ptr<LockTable> table_;  ///< Null once moved from.
    std::filesystem::path path_;
    UniqueFd fd_;
  };

  [[nodiscard]] std::optional<Held> try_lock(std::string_view name,
                                             LockMode mode = LockMode::kExclusive);
  /// Waits until it can be had for oneself. Cancelling gives up.
  Task<Held> lock(std::string name);

 private:
  asio::any_io_executor executor_;
  std::filesystem::path directory_;
  std::list<asio::steady_timer> waiters_;
};

}  // namespace cobuild::store
