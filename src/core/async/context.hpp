#pragma once

/// Adding the caller's point of view to a failure, across a co_await.

#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>

#include <concepts>
#include <exception>
#include <source_location>
#include <string>
#include <utility>

#include "core/async/task.hpp"
#include "core/base/error.hpp"

namespace cobuild {

/// Whether `e` says that somebody asked us to stop. Cancellation is not a failure: nothing wraps
/// it, logs it or retries it.
[[nodiscard]] inline bool is_cancelled(const boost::system::system_error& e) noexcept {
  return e.code() == asio::error::operation_aborted;
}

/// The same question about a stored failure; an Error of kind kCancelled counts too.
[[nodiscard]] inline bool is_cancellation(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const boost::system::system_error& e) {
    return is_cancelled(e);
  } catch (const Error& e) {
    return e.kind() == ErrorKind::kCancelled;
  } catch (...) {
    return false;
  }
}

/// Awaits `inner`; if it throws, throws that failure with `describe()` in front of it.
///
/// `describe` is called only on failure, so the happy path formats nothing. Capture by reference:
/// the caller is suspended in the same full expression for as long as we run.
template <class T, std::invocable Describe>
Task<T> in_context(Task<T> inner, Describe describe,
                   std::source_location where = std::source_location::current()) {
  try {
    co_return co_await std::move(inner);
  } catch (const Error& e) {
    throw e.with_context(describe(), where);
  } catch (const boost::system::system_error& e) {
    if (is_cancelled(e)) throw;
    throw Error(ErrorKind::kUnavailable, e.what(), where).with_context(describe(), where);
  }
}

}  // namespace cobuild
