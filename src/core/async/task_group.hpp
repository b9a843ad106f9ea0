#pragma once

/// A nursery: children may be spawned at any time, and all of them are joined.
///
/// The first child that fails cancels the others. join() waits for every child, also when it is
/// cancelled itself (which cancels the children), and then throws the first real failure. A group
/// must be joined before it is destroyed. Everything happens on the loop.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "core/async/context.hpp"
#include "core/async/task.hpp"

namespace cobuild {

class TaskGroup {
 public:
  explicit TaskGroup(asio::any_io_executor executor)
      : executor_(executor), changed_(executor, asio::steady_timer::time_point::max()) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  /// Starts `task` beside the caller; it may take its first steps before this returns. After
  /// cancel() it ends before its first step.
  void spawn(Task<void> task) {
    auto place = children_.insert(children_.end(), std::make_shared<Child>());
    auto finished = [this, place](std::exception_ptr error) { finish(place, std::move(error)); };
    asio::co_spawn(executor_, run(this, *place, std::move(task)),
                   asio::bind_cancellation_slot((*place)->signal.slot(), std::move(finished)));
  }

  /// Asks every child to stop, once. \see join.
  void cancel() {
    if (std::exchange(cancelled_, true)) return;
    // A child may end while it is being told, and take its neighbours with it: hence the copy. One
    // that has not taken its first step, or has taken its last, must not get a signal: Boost 1.81
    // would throw out of the io_context. Those see `cancelled_` instead.
    std::vector<std::shared_ptr<Child>> const children(children_.begin(), children_.end());
    for (const auto& child : children) {
      if (child->started && !child->ended) child->signal.emit(asio::cancellation_type::all);
    }
  }

  /// Whether somebody or something has asked the children to stop.
  [[nodiscard]] bool is_cancelled() const noexcept { return cancelled_; }

  /// Waits for all children. \throws the first real failure; operation_aborted when the caller was
  /// cancelled; and a child's own cancellation, if nobody had asked for it and nothing else failed.
  Task<void> join() {
    bool const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    auto const state = co_await asio::this_coro::cancellation_state;
    while (!children_.empty()) {
      if (state.cancelled() != asio::cancellation_type::none) cancel();
      co_await changed_.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (failure_) std::rethrow_exception(failure_);
    if (state.cancelled() != asio::cancellation_type::none) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
  }

 private:
  struct Child {
    asio::cancellation_signal signal;
    bool started = false;
    bool ended = false;
  };
  using Place = std::list<std::shared_ptr<Child>>::iterator;

  static Task<void> run(TaskGroup* group, std::shared_ptr<Child> child, Task<void> task) {
    std::exception_ptr failure;
    child->started = true;
    try {
      if (group->cancelled_) throw boost::system::system_error(asio::error::operation_aborted);
      co_await std::move(task);
    } catch (...) {
      failure = std::current_exception();
    }
    child->ended = true;
    // co_spawn awaits once more after a task that never suspended; if that throws, nobody hears of
    // it.
    co_await asio::this_coro::throw_if_cancelled(false);
    if (failure) std::rethrow_exception(failure);
  }

  void finish(Place place, std::exception_ptr error) {
    auto const child = *place;  // its signal may be what is calling us
    children_.erase(place);
    if (error) {
      bool const asked = cancelled_ && is_cancellation(error);
      bool const better = !failure_ || (is_cancellation(failure_) && !is_cancellation(error));
      if (!asked && better) failure_ = std::move(error);
      if (!asked) cancel();
    }
    changed_.cancel();
  }

  asio::any_io_executor executor_;
  asio::steady_timer changed_;
  std::list<std::shared_ptr<Child>> children_;
  std::exception_ptr failure_;
  bool cancelled_ = false;
};

}  // namespace cobuild
