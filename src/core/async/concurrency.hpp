#pragma once

/// Structured concurrency: every child started here is joined here.
///
/// Threading model: one thread runs the io_context, and all coroutines live on it, so they need no
/// locks. CPU-bound and blocking work leaves that thread through offload() and comes back with a
/// value. Do not run the io_context from a second thread.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "core/async/context.hpp"
#include "core/async/task.hpp"
#include "core/async/task_group.hpp"

namespace cobuild {

namespace detail {

/// One of the window's workers: takes items until none are left. The references are into
/// for_each_bounded's frame, which outlives every worker because it joins them.
template <class Item, class Fn>
Task<void> drain(std::vector<Item>& items, std::size_t& next, Fn& fn, const TaskGroup& group) {
  while (next < items.size() && !group.is_cancelled()) {
    Item& item = items[next++];
    co_await fn(item);
  }
}

/// Runs `task` to its end, whatever that is, and then wakes `ended`.
template <class T>
Task<void> run_into(Task<T> task, std::optional<T>& value, std::exception_ptr& failure,
                    asio::steady_timer& ended) {
  try {
    value.emplace(co_await std::move(task));
  } catch (...) {
    failure = std::current_exception();
  }
  ended.cancel();
}

/// Stops `group` when `timer` has run.
inline Task<void> stop_at(asio::steady_timer& timer, TaskGroup& group, bool& timed_out) {
  auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  if (error) co_return;
  timed_out = true;
  group.cancel();
}

[[nodiscard]] inline Task<std::monostate> as_unit(Task<void> task) {
  co_await std::move(task);
  co_return std::monostate{};
}

}  // namespace detail

/// Awaits `fn(item)` for every item, at most `limit` of them at a time.
///
/// Returns when all are done. If one throws, no further item is started, the others in flight are
/// cancelled, all of them are waited for, and then that first exception is thrown. Cancelling the
/// caller cancels the items in flight, and is waited for in the same way. Items start in order;
/// they may finish in any order.
template <class Item, class Fn>
Task<void> for_each_bounded(std::vector<Item> items, std::size_t limit, Fn fn) {
  assert(limit > 0);
  if (items.empty()) co_return;

  std::size_t next = 0;
  TaskGroup group(co_await asio::this_coro::executor);
  for (std::size_t i = 0; i < std::min(limit, items.size()); ++i) {
    group.spawn(detail::drain(items, next, fn, group));
  }
  co_await group.join();
}

/// Awaits `task`, but cancels it, and waits for it to be gone, once `limit` has passed.
///
/// Instead of `task || timer` from Asio's awaitable_operators: on Boost 1.81 that one waits for a
/// success, so a task that fails at once is not heard of until the timer has run, and not then.
/// \throws Error kUnavailable on time-out; otherwise whatever the task throws, when it throws it.
template <class T>
Task<T> with_timeout(Task<T> task, std::chrono::steady_clock::duration limit) {
  auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, limit);
  TaskGroup group(executor);
  std::optional<T> value;
  std::exception_ptr failure;
  bool timed_out = false;
  group.spawn(
      detail::stop_at(timer, group, timed_out));  // first: a task may end while it is spawned
  group.spawn(detail::run_into(std::move(task), value, failure, timer));
  co_await group.join();
  if (value) co_return std::move(*value);
  if (failure && !(timed_out && is_cancellation(failure))) std::rethrow_exception(failure);
  throw Error(ErrorKind::kUnavailable, "timed out");
}

inline Task<void> with_timeout(Task<void> task, std::chrono::steady_clock::duration limit) {
  co_await with_timeout(detail::as_unit(std::move(task)), limit);
}

/// Runs `fn()` on `pool` and resumes the caller, on its own executor, with the result.
///
/// For hashing, (de)compression, unpacking, and system calls that block. Not cancellable once
/// started: cut long work into pieces and offload each. `fn` owns what it touches: it must not
/// refer to anything that a coroutine may change meanwhile. It is destroyed, on the pool, before
/// the caller resumes.
template <class Fn>
Task<std::invoke_result_t<Fn&>> offload(asio::thread_pool& pool, Fn fn) {
  using Result = std::invoke_result_t<Fn&>;
  static_assert(!std::is_void_v<Result> && !std::is_reference_v<Result>, "return a value");
  using Outcome = std::variant<std::exception_ptr, Result>;

  // Named, not written inside the co_await: GCC 12 destroys such a closure twice.
  auto initiate = [&pool](auto handler, Fn work) {
    auto home = asio::get_associated_executor(handler);
    auto keep_home_running = asio::make_work_guard(home);
    asio::post(pool, [handler = std::move(handler), work = std::optional<Fn>(std::move(work)), home,
                      guard = std::move(keep_home_running)]() mutable {
      Outcome outcome;
      try {
        outcome.template emplace<1>((*work)());
      } catch (...) {
        outcome.template emplace<0>(std::current_exception());
      }
      work.reset();  // what it owns goes before the caller hears of the end, not some time after
      asio::post(home, [handler = std::move(handler), outcome = std::move(outcome)]() mutable {
        std::move(handler)(std::move(outcome));
      });
      guard.reset();
    });
  };
  Outcome outcome = co_await asio::async_initiate<const asio::use_awaitable_t<>, void(Outcome)>(
      initiate, asio::use_awaitable, std::move(fn));
  if (auto* error = std::get_if<0>(&outcome)) std::rethrow_exception(*error);
  co_return std::move(std::get<1>(outcome));
}

}  // namespace cobuild
