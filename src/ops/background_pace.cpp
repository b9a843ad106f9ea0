#include "ops/background_pace.hpp"

#include <algorithm>
#include <ctime>

namespace cobuild::ops {
namespace {

using std::chrono::nanoseconds;

/// Shorter pieces say nothing: the clocks and the scheduler are not that fine.
constexpr nanoseconds kPieceMin = std::chrono::milliseconds(10);
/// So long after it has become idle, at worst, a CPU is found to be so.
constexpr nanoseconds kNapMax = std::chrono::seconds(2);

nanoseconds thread_cpu_time() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + nanoseconds(time.tv_nsec);
}

}  // namespace

nanoseconds nap_after(nanoseconds wall, nanoseconds cpu) {
  // A fifth more than it used: interrupts and page cache misses are less, another thread is more.
  bool const is_shared = wall > cpu + cpu / 5;
  return is_shared ? std::min(39 * cpu, kNapMax) : nanoseconds(0);
}

void BackgroundPace::hurry() {
  {
    std::lock_guard const lock(mutex_);
    is_hurried_ = true;
  }
  changed_.notify_all();
}

void BackgroundPace::nap(nanoseconds duration) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, duration, [this] { return is_hurried_; });
}

PacedWork::PacedWork(BackgroundPace& pace)
    : pace_(pace), wall_(std::chrono::steady_clock::now()), cpu_(thread_cpu_time()) {}

void PacedWork::after_piece() {
  auto const wall = std::chrono::steady_clock::now();
  if (wall - wall_ < kPieceMin) return;
  nanoseconds const cpu = thread_cpu_time();
  nanoseconds const nap = nap_after(wall - wall_, cpu - cpu_);
  if (nap > nanoseconds(0)) pace_.nap(nap);
  wall_ = std::chrono::steady_clock::now();
  cpu_ = thread_cpu_time();
}

}  // namespace cobuild::ops
