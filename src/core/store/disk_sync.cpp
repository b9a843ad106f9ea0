#include "core/store/disk_sync.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <string>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::store {
namespace {

/// 0, or the errno of the last one that failed. Only system calls: see start().
int sync_all(const std::vector<int>& directories) noexcept {
  int failure = 0;
  for (int const directory : directories) {
    if (::syncfs(directory) != 0) failure = errno;
  }
  return failure;
}

/// What the child does, which has no other threads and must not touch what they may have locked.
/// `keep` is sorted. All else is closed, so that nobody waits for a pipe of ours to end.
[[noreturn]] void run_child(const std::vector<int>& keep) noexcept {
  unsigned next = 0;
  for (int const fd : keep) {
    auto const number = static_cast<unsigned>(fd);
    if (number > next) ::syscall(SYS_close_range, next, number - 1, 0);
    next = number + 1;
  }
  ::syscall(SYS_close_range, next, ~0U, 0);
  ::_exit(sync_all(keep));
}

/// The child, or -1 when there can be none. It hears of no signal: those for us would run our
/// handlers in it.
pid_t start(const std::vector<int>& directories) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t const child = ::fork();
  if (child == 0) run_child(directories);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return child;
}

int exit_code(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return errno;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

}  // namespace

Task<void> sync_file_systems(asio::thread_pool& pool,
                             std::vector<std::filesystem::path> directories) {
  std::vector<UniqueFd> open;
  std::vector<int> fds;
  for (const auto& directory : directories) {
    fds.push_back(open.emplace_back(open_file(directory, O_RDONLY | O_DIRECTORY)).get());
  }
  std::sort(fds.begin(), fds.end());
  int failure = 0;
  pid_t const child = start(fds);
  UniqueFd pidfd(child < 0 ? -1 : static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  if (pidfd) {
    asio::posix::stream_descriptor ended(co_await asio::this_coro::executor, pidfd.release());
    co_await ended.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
    failure = exit_code(child);
  } else {
    auto sync = [child, fds] { return child < 0 ? sync_all(fds) : exit_code(child); };
    failure = co_await offload(pool, std::move(sync));
  }
  if (failure != 0) throw Error::from_errno(failure, "sync " + directories.front().string());
}

}  // namespace cobuild::store
