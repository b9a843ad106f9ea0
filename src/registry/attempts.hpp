#pragma once

/// The one retry loop of this folder.

#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "core/async/context.hpp"
#include "core/async/task.hpp"
#include "core/base/error.hpp"
#include "registry/options.hpp"
#include "registry/retry.hpp"

namespace cobuild::registry {

/// Why one attempt did not succeed.
struct Failure {
  Error error;
  bool may_pass = false;  ///< Trying again may help.
  std::optional<std::chrono::milliseconds> retry_after;
  bool progressed = false;   ///< It got somewhere: count attempts anew.
  /// Other bytes came than were asked for, or went than were sent. A bad line does that, and so does
  /// a bad registry: tried once more.
  bool damaged = false;
  std::exception_ptr fatal;  ///< Not the registry's fault (the sink's, say): to be thrown as it is.
};

template <class T>
using Attempt = std::variant<T, Failure>;

/// Awaits one attempt; what it throws becomes a Failure, all but cancellation.
template <class T>
Task<Attempt<T>> guarded(Task<Attempt<T>> attempt) {
  try {
    co_return co_await std::move(attempt);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    co_return Failure{
        .error = error, .may_pass = is_retryable(error.kind()), .retry_after = {}, .fatal = {}};
  } catch (const boost::system::system_error& error) {
    if (is_cancelled(error)) throw;
    co_return Failure{.error = Error(ErrorKind::kUnavailable, error.what()),
                      .may_pass = true,
                      .retry_after = {},
                      .fatal = {}};
  }
}

/// The failure of the last of `tries`, with what the user may want to know about them.
inline Error gave_up(const Failure& failure, const RetryPolicy& policy, std::size_t tries) {
  if (failure.retry_after && *failure.retry_after > policy.retry_after_max) {
    auto const seconds = std::chrono::ceil<std::chrono::seconds>(*failure.retry_after);
    return failure.error.with_context("the registry asks to try again in " +
                                      std::to_string(seconds.count()) + " s");
  }
  if (tries < 2) return failure.error;
  return failure.error.with_context("tried " + std::to_string(tries) + " times");
}

/// Awaits `attempt()` until it succeeds, fails for good, or `policy` has had enough; sleeps
/// between. `options` outlives the call. \throws only a fatal failure and cancellation.
template <class T, class Try>
Task<Attempt<T>> try_repeatedly(const Options& options, RetryPolicy policy, Try attempt) {
  bool was_damaged = false;
  for (std::size_t count = 1, tries = 1;; ++count, ++tries) {
    Attempt<T> outcome = co_await guarded<T>(attempt());
    auto* failure = std::get_if<Failure>(&outcome);
    if (!failure) co_return outcome;
    if (failure->fatal) std::rethrow_exception(failure->fatal);
    if (failure->progressed) count = 1;
    if (!failure->may_pass && !failure->damaged) co_return outcome;
    bool const again = failure->may_pass || !std::exchange(was_damaged, true);
    std::optional<std::chrono::milliseconds> delay;
    if (again) delay = retry_delay(policy, count, failure->retry_after, options.environment.random());
    if (!delay) {
      failure->error = gave_up(*failure, policy, tries);
      co_return outcome;
    }
    if (options.on_notice) {
      options.on_notice(std::string(failure->error.what()) + "; retrying in " +
                        std::to_string(delay->count()) + " ms");
    }
    co_await options.environment.sleep(*delay);
  }
}

}  // namespace cobuild::registry
