#pragma once

/// Threads that take file copies off the one that walks the tree.

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cobuild::ops {

/// The caller's thread and some helpers, which are only started when there is work for them: most
/// copies are of a few files. Belongs to one thread; only the jobs run on others.
class CopyWorkers {
 public:
  using Job = std::function<void()>;

  /// `threads`: how many may work at once, the caller's one included; at least 1.
  explicit CopyWorkers(unsigned threads);
  /// Drops jobs that have not begun, and waits for those that have.
  ~CopyWorkers();
  CopyWorkers(const CopyWorkers&) = delete;
  CopyWorkers& operator=(const CopyWorkers&) = delete;

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
