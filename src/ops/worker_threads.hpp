#pragma once

/// Threads that take calls on files off the one that walks the tree.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cobuild::ops {

/// The caller's thread and some helpers, which are only started when there is work for them: most
/// trees are small. Belongs to one thread; only the jobs run on others.
class WorkerThreads {
 public:
  using Job = std::function<void()>;

  /// `threads`: how many may work at once, the caller's one included; at least 1.
  explicit WorkerThreads(unsigned threads);
  /// Drops jobs that have not begun, and waits for those that have.
  ~WorkerThreads();
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

  /// Hands out a job. When many wait already, the caller does one itself first. \throws what the
  /// first failed job threw, if one did.
  void submit(Job job);

  /// Does what is left, and waits for all. \throws what the first failed job threw.
  void finish();

 private:
  void work();
  [[nodiscard]] bool run_one(std::unique_lock<std::mutex>& lock);
  void throw_if_failed();

  unsigned helpers_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> waiting_;
  unsigned running_ = 0;
  bool ending_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> helpers_;
};

}  // namespace cobuild::ops
