#pragma once

/// Slots, handed out in the order in which they were asked for. Lives on the loop; no locks.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <list>
#include <utility>

#include "core/async/task.hpp"

namespace cobuild {

class Semaphore {
 public:
  Semaphore(asio::any_io_executor executor, std::size_t slots)
      : executor_(std::move(executor)), free_(slots) {}

  /// Gives its slot back when it goes.
  class Slot {
   public:
    Slot(Slot&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Slot& operator=(Slot&& other) noexcept {
      Slot old(std::exchange(owner_, std::exchange(other.owner_, nullptr)));
      return *this;
    }
    ~Slot() {
      if (owner_) owner_->release();
    }

   private:
    friend class Semaphore;
    explicit Slot(Semaphore* owner) noexcept : owner_(owner) {}
    Semaphore* owner_;
  };

  /// Waits for a slot. Never call it while holding one of the same semaphore: that is how a bounded
  /// build hangs. Cancelling the wait gives up the place in the queue. The semaphore must outlive
  /// the slot.
  Task<Slot> acquire();

 private:
  struct Waiter {
    explicit Waiter(const asio::any_io_executor& executor) : timer(executor) {}
    asio::steady_timer timer;
    bool granted = false;
  };
  void release() noexcept;

  asio::any_io_executor executor_;
  std::size_t free_;
  std::list<Waiter> waiters_;
};

}  // namespace cobuild
