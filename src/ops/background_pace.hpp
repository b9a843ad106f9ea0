#pragma once

/// Long computing beside a build's steps, which must not get slower by it.
///
/// Priorities will not do: where a step has a cgroup or a session of its own, the kernel first
/// divides a CPU between those, and within a quota everything counts alike; and a thread that was
/// made unimportant cannot be made important again without privileges. So who computes here looks
/// whether it got the CPU all the time that it wanted it. If not, somebody else wants it too, and
/// it naps.

#include <chrono>
#include <condition_variable>
#include <mutex>

namespace cobuild::ops {

/// How long to nap after a piece of work that took `wall` time and used `cpu` of it: none when it
/// had its CPU to itself, else so long that in all it takes 2.5 % of one.
[[nodiscard]] std::chrono::nanoseconds nap_after(std::chrono::nanoseconds wall,
                                                 std::chrono::nanoseconds cpu);

/// What the threads that work in the background have in common. All members may be called from any
/// thread.
class BackgroundPace {
 public:
  /// Ends all naps, and lets nobody nap any more: what is being done is now waited for.
  void hurry();

  /// Returns after `duration`, or as soon as somebody calls hurry(). Blocks.
  void nap(std::chrono::nanoseconds duration);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_hurried_ = false;
};

/// What one thread works at, piece by piece.
class PacedWork {
 public:
  /// Begins now. `pace` must outlive this.
  explicit PacedWork(BackgroundPace& pace);

  /// Called by the same thread after each piece, of whatever size: naps when it should.
  void after_piece();

 private:
  BackgroundPace& pace_;
  std::chrono::steady_clock::time_point wall_;
  std::chrono::nanoseconds cpu_;
};

}  // namespace cobuild::ops
