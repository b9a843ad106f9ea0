#pragma once

/// Cleanup that must happen even when the work was cancelled.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/async/task.hpp"

namespace cobuild {

/// Awaits `task` to its end. A cancellation of the caller does not reach `task`; the caller meets
/// it at its next co_await. The caller must not be cancelled yet, or must have set
/// this_coro::throw_if_cancelled(false): otherwise awaiting this throws before `task` begins.
inline Task<void> uncancelled(Task<void> task) {
  bool const throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  auto executor = co_await asio::this_coro::executor;
  asio::steady_timer changed(executor, asio::steady_timer::time_point::max());
  bool ended = false;
  std::exception_ptr failure;
  // Without a cancellation slot, so that nothing we are told gets through. It ends before we do.
  auto finished = [&](std::exception_ptr error) {
    failure = std::move(error);
    ended = true;
    changed.cancel();
  };
  asio::co_spawn(executor, std::move(task), std::move(finished));
  while (!ended) co_await changed.async_wait(asio::as_tuple(asio::use_awaitable));
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (failure) std::rethrow_exception(failure);
}

/// Awaits `work`, then `cleanup`, whatever `work` did; cancellation does not reach `cleanup`, but
/// `limit` does. Throws what `work` threw, else what `cleanup` threw. A cancellation that comes
/// during `cleanup` is met by the caller at its next co_await. As with any task, a caller that is
/// cancelled before it awaits this starts neither.
template <class T>
Task<T> with_cleanup(Task<T> work, Task<void> cleanup,
                     std::chrono::steady_clock::duration limit = std::chrono::seconds(10)) {
  std::exception_ptr failure;
  std::optional<T> value;
  try {
    value.emplace(co_await std::move(work));
  } catch (...) {
    failure = std::current_exception();
  }
  bool const throws = co_await asio::this_coro::throw_if_cancelled();
  co_await asio::this_coro::throw_if_cancelled(false);
  try {
    co_await uncancelled(with_timeout(std::move(cleanup), limit));
  } catch (...) {
    if (!failure) failure = std::current_exception();
  }
  co_await asio::this_coro::throw_if_cancelled(throws);
  if (failure) std::rethrow_exception(failure);
  co_return std::move(*value);
}

inline Task<void> with_cleanup(
    Task<void> work, Task<void> cleanup,
    std::chrono::steady_clock::duration limit = std::chrono::seconds(10)) {
  co_await with_cleanup(detail::as_unit(std::move(work)), std::move(cleanup), limit);
}

}  // namespace cobuild
