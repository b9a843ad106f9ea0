#pragma once

/// The loop and the pool: where coroutines run, and where blocking work goes.

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <functional>

#include "core/async/task.hpp"

namespace cobuild {

/// How long what was cancelled may take to clean up.
inline constexpr std::chrono::seconds kStopMax{10};

class Runtime {
 public:
  /// `threads`: the size of the pool; 0 takes one for each CPU this process may use.
  explicit Runtime(unsigned threads = 0);
  ~Runtime();

  [[nodiscard]] asio::io_context& loop() noexcept { return loop_; }
  [[nodiscard]] asio::thread_pool& pool() noexcept { return pool_; }

  /// Runs `root` to its end on the calling thread and returns its value.
  ///
  /// The first SIGINT, SIGTERM, SIGHUP or SIGQUIT cancels `root`, which is still waited for, and
  /// calls `on_interrupt`; the second one ends the process at once with status 128 + signal, and so
  /// does kStopMax without one: a pool thread may hang in a system call, such as the opening of a
  /// FIFO that nobody reads. A SIGHUP or SIGQUIT that is ignored stays so.
  int run(Task<int> root, std::function<void()> on_interrupt = {});

 private:
  asio::io_context loop_;
  asio::thread_pool pool_;
};

/// How many CPUs this process may use: its affinity mask, and the cgroup's quota rounded up.
[[nodiscard]] unsigned cpus_allowed();

}  // namespace cobuild
