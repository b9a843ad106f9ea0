#include "core/store/lock_table.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/system/system_error.hpp>
#include <cerrno>
#include <chrono>
#include <utility>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"

namespace cobuild::store {
namespace {

constexpr std::chrono::milliseconds kPollFirst{1};
constexpr std::chrono::milliseconds kPollMax{50};

}  // namespace

LockTable::Held::Held(std::shared_ptr<LockTable> table, std::filesystem::path path, UniqueFd fd)
    : table_(std::move(table)), path_(std::move(path)), fd_(std::move(fd)) {}

LockTable::Held& LockTable::Held::operator=(Held&& other) noexcept {
  Held old(std::move(*this));
  table_ = std::move(other.table_);
  path_ = std::move(other.path_);
  fd_ = std::move(other.fd_);
  return *this;
}

void LockTable::Held::release() noexcept {
  if (!table_) return;
  // While it is still locked: whoever opened it meanwhile sees that its name is gone, and tries
  // again.
  ::unlink(path_.c_str());
  fd_ = UniqueFd();
  for (asio::steady_timer& waiter : table_->waiters_) waiter.cancel();
  table_.reset();
}

std::optional<LockTable::Held> LockTable::try_lock(std::string_view name) {
  auto path = directory_ / Digest::of(name).hex();
  for (;;) {
    UniqueFd file = open_file(path, O_RDWR | O_CREAT, 0600);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return std::nullopt;
      throw Error::from_errno(errno, "lock " + path.string());
    }
    struct stat ours{};
    struct stat named{};
    if (::fstat(file.get(), &ours) == 0 && ::stat(path.c_str(), &named) == 0 &&
        ours.st_ino == named.st_ino) {
      return Held(shared_from_this(), std::move(path), std::move(file));
    }
  }
}

Task<LockTable::Held> LockTable::lock(std::string name) {
  // The kernel tells nobody when a file lock becomes free, except a thread that blocks for it; a
  // few such threads would fill the pool, and the one who holds the lock may need the pool to go
  // on. So other processes are asked again and again, and those of our own wake us.
  auto self = shared_from_this();
  auto delay = kPollFirst;
  bool const throws = co_await asio::this_coro::throw_if_cancelled();
  for (;;) {
    if (auto held = try_lock(name)) co_return std::move(*held);
    auto const timer = waiters_.emplace(waiters_.end(), executor_, delay);
    co_await asio::this_coro::throw_if_cancelled(false);
    auto [error] = co_await timer->async_wait(asio::as_tuple(asio::use_awaitable));
    waiters_.erase(timer);
    co_await asio::this_coro::throw_if_cancelled(throws);
    auto const state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) {
      throw boost::system::system_error(asio::error::operation_aborted);
    }
    delay = error ? kPollFirst : std::min(delay * 2, kPollMax);
  }
}

}  // namespace cobuild::store
