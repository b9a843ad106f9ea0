#include "cli/settle.hpp"

#include <utility>

#include "cli/internal_step.hpp"
#include "core/async/context.hpp"
#include "core/base/timings.hpp"
#include "core/store/collect.hpp"

namespace cobuild::cli {
namespace {

/// Removes what the store's limits leave no room for. That this fails is no reason to say that a
/// build has failed which has not.
Task<void> collect_garbage(store::Store& store, const store::GcConfig& gc,
                           progress::Sink& progress) {
  std::exception_ptr failure;
  try {
    (void)co_await store::collect_garbage(store, gc);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) co_return;
  if (is_cancellation(failure)) std::rethrow_exception(failure);
  InternalStep step(progress, "collecting garbage");
  step.warn(step_error(failure));
  step.done();
}

}  // namespace

Task<void> settle(store::Store& store, store::GcConfig gc, std::exception_ptr build_failure,
                  progress::Sink& progress) {
  Timings::Span const span(Phase::kFlush);
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await store.publish();
  if (build_failure && is_cancellation(build_failure)) co_return;
  co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
  std::exception_ptr failure;
  try {
    if (!build_failure) co_await store.flush();
    co_await collect_garbage(store, gc, progress);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  if (failure && !is_cancellation(failure)) std::rethrow_exception(failure);
}

}  // namespace cobuild::cli
