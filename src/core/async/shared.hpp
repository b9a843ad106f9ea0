#pragma once

/// Something computed once and awaited by many.
///
/// The computation starts with the first get() and runs beside its waiters. Its value, or its
/// failure, is given to all of them and to those who come later. A waiter that is cancelled leaves;
/// when the last one has left, the computation is cancelled, waited for, and forgotten, so that a
/// later get() starts it anew. Everything happens on the loop. T must be copyable.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "core/async/context.hpp"
#include "core/async/task.hpp"

namespace cobuild {

/// What a Shared does with a failure.
enum class OnFailure {
  kKeep,    ///< Everybody who asks later gets the same failure.
  kForget,  ///< The next to ask starts the computation again.
};

template <class T>
class Shared {
 public:
  Shared(asio::any_io_executor executor, std::function<Task<T>()> compute,
         OnFailure on_failure = OnFailure::kKeep)
      : state_(std::make_shared<State>(
            State{std::move(executor), std::move(compute), on_failure, nullptr})) {}

  /// The value. \throws what the computation throws, or operation_aborted when the caller is
  /// cancelled. This object may go while the returned task is awaited.
  Task<T> get() { return wait(state_); }

  /// Whether get() would return or throw at once.
  [[nodiscard]] bool is_done() const { return state_->round && state_->round->done; }

 private:
  /// One run of the computation. Its waiters hold it, so that what it came to is theirs, whatever
  /// has been started since.
  struct Round {
    explicit Round(const asio::any_io_executor& executor)
        : changed(executor, asio::steady_timer::time_point::max()) {}
    asio::steady_timer changed;
    asio::cancellation_signal signal;
    std::optional<T> value;
    std::exception_ptr failure;
    std::size_t waiters = 0;
    bool started = false;    ///< Has taken its first step, and
    bool ended = false;      ///< not its last: only between them may a signal be sent.
    bool abandoned = false;  ///< Everybody who waited has left, and it was told to stop.
    bool done = false;
  };

  struct State {
    asio::any_io_executor executor;
    std::function<Task<T>()> compute;
    OnFailure on_failure;
    std::shared_ptr<Round>
        round;  ///< The current one; null before the first and after a forgotten one.
  };

  static Task<void> run(std::shared_ptr<State> state, std::shared_ptr<Round> round) {
    std::exception_ptr failure;
    round->started = true;
    try {
      if (round->abandoned) throw boost::system::system_error(asio::error::operation_aborted);
      round->value.emplace(co_await state->compute());
    } catch (...) {
      failure = std::current_exception();
    }
    round->ended = true;
    // co_spawn awaits once more after a task that never suspended; if that throws, nobody hears of
    // it.
    co_await asio::this_coro::throw_if_cancelled(false);
    if (failure) std::rethrow_exception(failure);
  }

  static void start(const std::shared_ptr<State>& state) {
    auto round = std::make_shared<Round>(state->executor);
    state->round = round;
    auto finished = [state, round](std::exception_ptr error) {
      round->failure = error;
      round->done = true;
      bool const forget = error && (round->abandoned || is_cancellation(error) ||
                                    state->on_failure == OnFailure::kForget);
      if (forget) {
        state->round = nullptr;
      } else {
        state->compute = nullptr;  // never asked again: let go of what it holds
      }
      round->changed.cancel();
    };
    asio::co_spawn(state->executor, run(state, round),
                   asio::bind_cancellation_slot(round->signal.slot(), std::move(finished)));
  }

  /// Waits until `round` is done or the caller is cancelled; the last one to leave stops it.
  /// Returns whether the round is done, for us.
  static Task<bool> stay(std::shared_ptr<Round> round) {
    auto const state = co_await asio::this_coro::cancellation_state;
    auto const cancelled = [&] { return state.cancelled() != asio::cancellation_type::none; };
    ++round->waiters;
    while (!round->done && !cancelled()) {
      co_await round->changed.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    --round->waiters;
    if (!cancelled()) co_return true;
    if (!round->done && round->waiters == 0) {
      if (!std::exchange(round->abandoned, true) && round->started && !round->ended) {
        round->signal.emit(asio::cancellation_type::all);
      }
      while (!round->done) {
        co_await round->changed.async_wait(asio::as_tuple(asio::use_awaitable));
      }
    }
    co_return false;
  }

  static Task<T> wait(std::shared_ptr<State> state) {
    bool const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    std::shared_ptr<Round> round;
    bool stayed = true;
    do {
      // Again after one that was stopped because those before us had left: we still want the value.
      if (!state->round) start(state);
      round = state->round;
      stayed = round->done || co_await stay(round);
    } while (stayed && round->abandoned && round->failure);
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (!stayed) throw boost::system::system_error(asio::error::operation_aborted);
    if (round->failure) std::rethrow_exception(round->failure);
    co_return *round->value;
  }

  std::shared_ptr<State> state_;
};

}  // namespace cobuild
