#include "ops/worker_threads.hpp"

#include <algorithm>
#include <utility>

namespace cobuild::ops {

namespace {

/// Each holds the descriptor of a directory, and little else.
constexpr std::size_t kWaitingMax = 64;

}  // namespace

WorkerThreads::WorkerThreads(unsigned threads) : helpers_max_(std::max(threads, 1U) - 1) {}

WorkerThreads::~WorkerThreads() {
  {
    std::lock_guard const lock(mutex_);
    waiting_.clear();
    ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void WorkerThreads::submit(Job job) {
  std::unique_lock lock(mutex_);
  waiting_.push_back(std::move(job));
  // One job is the caller's own: finish() does it sooner than a thread starts.
  if (waiting_.size() > 1 && helpers_.size() < helpers_max_) {
    helpers_.emplace_back([this] { work(); });
  }
  changed_.notify_one();
  if (waiting_.size() > kWaitingMax) static_cast<void>(run_one(lock));
  lock.unlock();
  throw_if_failed();
}

void WorkerThreads::finish() {
  std::unique_lock lock(mutex_);
  while (run_one(lock)) {
  }
  changed_.wait(lock, [this] { return running_ == 0; });
  lock.unlock();
  throw_if_failed();
}

void WorkerThreads::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (!run_one(lock)) return;
  }
}

bool WorkerThreads::run_one(std::unique_lock<std::mutex>& lock) {
  if (waiting_.empty()) return false;
  Job job = std::move(waiting_.front());
  waiting_.pop_front();
  ++running_;
  lock.unlock();
  std::exception_ptr failure;
  try {
    job();
  } catch (...) {
    failure = std::current_exception();
  }
  job = nullptr;  // what it holds goes before anybody is told that it is done
  lock.lock();
  --running_;
  if (failure && !failure_) {
    failure_ = failure;
    waiting_.clear();
  }
  if (running_ == 0) changed_.notify_all();
  return true;
}

void WorkerThreads::throw_if_failed() {
  std::lock_guard const lock(mutex_);
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace cobuild::ops
