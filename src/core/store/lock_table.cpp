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

/// Whether `path` still names the file that is open as `fd`.
bool is_named(int fd, const std::filesystem::path& path) {
  struct stat ours{};
  struct stat named{};
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino;
}

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

/// Whether nobody shares the lock. If so, it is ours alone from now on; else it may be lost.
bool LockTable::Held::is_alone() const noexcept {
  return ::flock(fd_.get(), LOCK_EX | LOCK_NB) == 0 && is_named(fd_.get(), path_);
}

void LockTable::Held::release() noexcept {
  if (!table_) return;
  // While it is still locked: whoever opened it meanwhile sees that its name is gone, and tries
  // again.
  if (is_alone()) ::unlink(path_.c_str());
  fd_ = UniqueFd();
  for (asio::steady_timer& waiter : table_->waiters_) waiter.cancel();
  table_.reset();
}

std::optional<LockTable::Held> LockTable::try_lock(std::string_view name, LockMode mode) {
  int const operation = mode == LockMode::kShared ? LOCK_SH : LOCK_EX;
  auto path = directory_ / Digest::of(name).hex();
  for (;;) {
    UniqueFd file = open_file(path, O_RDWR | O_CREAT, 0600);
    if (::flock(file.get(), operation | LOCK_NB) != 0) {
      if (errno == EINTR) continue;
      if (errno == EWOULDBLOCK) return std::nullopt;
      throw Error::from_errno(errno, "lock " + path.string());
    }
    if (is_named(file.get(), path)) {
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
