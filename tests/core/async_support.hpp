#pragma once

/// A loop that a test drives by hand, and things to wait for that the test decides on.

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "core/async/context.hpp"
#include "core/async/task.hpp"

namespace cobuild::test {

/// Closed until the test opens it.
class Gate {
 public:
  explicit Gate(asio::io_context& io) : timer_(io, asio::steady_timer::time_point::max()) {}

  Task<void> pass() {
    while (!open_) {
      co_await timer_.async_wait(asio::as_tuple(asio::use_awaitable));
      auto const state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() != asio::cancellation_type::none) {
        ++cancelled_;
        throw boost::system::system_error(asio::error::operation_aborted);
      }
    }
  }
  void open() {
    open_ = true;
    timer_.cancel();
  }
  [[nodiscard]] int cancelled() const noexcept { return cancelled_; }

 private:
  asio::steady_timer timer_;
  bool open_ = false;
  int cancelled_ = 0;
};

/// A coroutine beside the test. Ready jobs are run by `settle`; nothing here takes real time.
class Runner {
 public:
  Runner(asio::io_context& io, Task<void> task) : state_(std::make_shared<State>()) {
    auto finished = [state = state_](std::exception_ptr error) {
      ++state->outcomes;
      state->failure = std::move(error);
    };
    asio::co_spawn(io, run(state_, std::move(task)),
                   asio::bind_cancellation_slot(state_->signal.slot(), std::move(finished)));
  }

  void cancel() {
    if (!state_->ended) state_->signal.emit(asio::cancellation_type::all);
  }
  [[nodiscard]] bool done() const noexcept { return state_->outcomes == 1; }
  [[nodiscard]] bool succeeded() const noexcept { return done() && !state_->failure; }
  [[nodiscard]] bool cancelled() const noexcept {
    return done() && state_->failure && is_cancellation(state_->failure);
  }
  /// The message of the failure; empty when there is none.
  [[nodiscard]] std::string failure() const {
    if (!state_->failure) return {};
    try {
      std::rethrow_exception(state_->failure);
    } catch (const std::exception& e) {
      return e.what();
    }
  }

 private:
  struct State {
    asio::cancellation_signal signal;
    std::exception_ptr failure;
    int outcomes = 0;
    bool ended = false;
  };
  static Task<void> run(std::shared_ptr<State> state, Task<void> task) {
    std::exception_ptr failure;
    try {
      co_await std::move(task);
    } catch (...) {
      failure = std::current_exception();
    }
    state->ended = true;
    co_await asio::this_coro::throw_if_cancelled(false);
    if (failure) std::rethrow_exception(failure);
  }
  std::shared_ptr<State> state_;
};

/// Runs everything that is ready, and what becomes ready by it.
inline void settle(asio::io_context& io) {
  io.restart();
  while (io.poll() > 0) io.restart();
  io.restart();
}

}  // namespace cobuild::test
