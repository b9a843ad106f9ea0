#include "core/async/semaphore.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>

namespace cobuild {

Task<Semaphore::Slot> Semaphore::acquire() {
  // A free slot means that all who are still queued have been given theirs, so nobody is overtaken.
  if (free_ > 0) {
    --free_;
    co_return Slot(this);
  }
  auto waiter = waiters_.emplace(waiters_.end(), executor_);
  waiter->timer.expires_at(asio::steady_timer::time_point::max());
  co_await waiter->timer.async_wait(asio::as_tuple(asio::use_awaitable));
  bool const granted = waiter->granted;
  waiters_.erase(waiter);
  if (granted) co_return Slot(this);
  throw boost::system::system_error(asio::error::operation_aborted);
}

void Semaphore::release() noexcept {
  for (Waiter& waiter : waiters_) {
    if (waiter.granted) continue;
    waiter.granted = true;
    waiter.timer.cancel();
    return;
  }
  ++free_;
}

}  // namespace cobuild
