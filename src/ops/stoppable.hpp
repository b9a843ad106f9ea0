#pragma once

/// Long blocking work that can be told to stop.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <optional>
#include <type_traits>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/async/task.hpp"
#include "core/async/task_group.hpp"

namespace cobuild::ops {

namespace detail {

inline Task<void> stop_when_cancelled(asio::steady_timer& ended, std::atomic<bool>& stop) {
  // The timer is cancelled when the work has ended, too: nobody looks at `stop` then.
  co_await ended.async_wait(asio::as_tuple(asio::use_awaitable));
  stop.store(true, std::memory_order_relaxed);
}

template <class Fn, class Result>
Task<void> run_stoppable(asio::thread_pool& pool, Fn& fn, const std::atomic<bool>& stop,
                         std::optional<Result>& result, asio::steady_timer& ended) {
  auto work = [&fn, &stop] { return fn(stop); };
  std::exception_ptr failure;
  try {
    result.emplace(co_await offload(pool, work));
  } catch (...) {
    failure = std::current_exception();
  }
  ended.cancel();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace detail

/// Runs `fn(stop)` on `pool` and returns what it returns. Cancelling the caller sets `stop`, at
/// which `fn` is expected to throw soon; it is waited for in any case.
template <class Fn>
Task<std::invoke_result_t<Fn&, const std::atomic<bool>&>> offload_stoppable(asio::thread_pool& pool,
                                                                            Fn fn) {
  auto executor = co_await asio::this_coro::executor;
  asio::steady_timer ended(executor, asio::steady_timer::time_point::max());
  std::atomic<bool> stop{false};
  std::optional<std::invoke_result_t<Fn&, const std::atomic<bool>&>> result;
  TaskGroup group(executor);
  group.spawn(detail::stop_when_cancelled(ended, stop));  // first: it must wait when the work ends
  group.spawn(detail::run_stoppable(pool, fn, stop, result, ended));
  co_await group.join();
  co_return std::move(*result);
}

}  // namespace cobuild::ops
