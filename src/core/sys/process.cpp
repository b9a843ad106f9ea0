#include "core/sys/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/async/task_group.hpp"
#include "core/base/error.hpp"

namespace cobuild {
namespace {

constexpr std::size_t kChildStackBytes = std::size_t{64} << 10;
constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything the child needs between clone and execve. Made by the parent, because the child
/// shares the parent's memory and may only make system calls.
struct ChildPlan {
  const char* program = nullptr;
  char* const* args = nullptr;
  char* const* env = nullptr;
  const char* cwd = nullptr;
  const ProcessOptions::PassedFd* fds = nullptr;
  std::size_t fd_count = 0;
  int* high_fds = nullptr;  ///< Room for fd_count.
  int lowest_free = 3;      ///< Above every number in `fds`.
  pid_t parent = 0;
  int failure = 0;           ///< errno of the step that failed.
  const char* step = "run";  ///< What that step was.
};

#define COBUILD_CHILD_ONLY __attribute__((no_sanitize("address", "undefined", "thread")))

COBUILD_CHILD_ONLY int fail(ChildPlan* plan, const char* step) {
  plan->failure = errno;
  plan->step = step;
  return 127;
}

/// Puts the descriptors where the child wants them. They go through high numbers first, so that
/// none is overwritten before it has been passed on.
COBUILD_CHILD_ONLY bool arrange_fds(ChildPlan* plan) {
  if (::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */) != 0) return false;
  for (std::size_t i = 0; i < plan->fd_count; ++i) {
    plan->high_fds[i] = ::fcntl(plan->fds[i].fd, F_DUPFD_CLOEXEC, plan->lowest_free);
    if (plan->high_fds[i] < 0) return false;
  }
  int const null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return false;
  int const high_null = ::fcntl(null, F_DUPFD_CLOEXEC, plan->lowest_free);
  if (high_null < 0) return false;
  for (int standard = 0; standard < 3; ++standard) {
    if (::dup2(high_null, standard) < 0) return false;
  }
  for (std::size_t i = 0; i < plan->fd_count; ++i) {
    if (::dup2(plan->high_fds[i], plan->fds[i].as) < 0) return false;
  }
  return true;
}

COBUILD_CHILD_ONLY int child_main(void* argument) {
  auto* plan = static_cast<ChildPlan*>(argument);
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < 32; ++signal) ::sigaction(signal, &standard, nullptr);
  if (::setpgid(0, 0) != 0) return fail(plan, "make a process group for");
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail(plan, "tie to our life");
  if (::getppid() != plan->parent) ::_exit(127);  // we died before the line above
  if (!arrange_fds(plan)) return fail(plan, "pass descriptors to");
  if (plan->cwd != nullptr && ::chdir(plan->cwd) != 0) return fail(plan, "change directory for");
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(plan->program, plan->args, plan->env);
  return fail(plan, "run");
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const auto& string : strings) pointers.push_back(const_cast<char*>(string.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

struct ClonedChild {
  pid_t pid = -1;
  int pidfd = -1;
  int failure = 0;
};

/// As vfork: this thread sleeps until the child has called execve or is gone.
ClonedChild clone_child(ChildPlan& plan) {
  void* stack = ::mmap(nullptr, kChildStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return {.failure = errno};
  // No handler of ours may run in the child, on this memory.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  ClonedChild child;
  child.pid = ::clone(child_main, static_cast<char*>(stack) + kChildStackBytes,
                      CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &plan, &child.pidfd);
  if (child.pid < 0) child.failure = errno;
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::munmap(stack, kChildStackBytes);
  return child;
}

ProcessExit reap(int pidfd) {
  siginfo_t info = {};
  int status = 0;
  do {
    status = ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED);
  } while (status != 0 && errno == EINTR);
  if (status != 0) throw Error::from_errno(errno, "wait for a process");
  if (info.si_code == CLD_EXITED) return {.code = info.si_status, .signal = 0};
  return {.code = 0, .signal = info.si_status};
}

/// `input` as a file to read from: no pipe that the child may close in our face.
UniqueFd input_file(const std::string& input) {
  UniqueFd file(::memfd_create("stdin", MFD_CLOEXEC));
  if (!file) throw Error::from_errno(errno, "make a file for a program's input");
  for (std::size_t done = 0; done < input.size();) {
    ssize_t const written = ::write(file.get(), input.data() + done, input.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw Error::from_errno(errno, "write a program's input");
    done += static_cast<std::size_t>(written);
  }
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

}  // namespace

std::string to_string(const ProcessExit& exit) {
  if (exit.signal == 0) return "exit code " + std::to_string(exit.code);
  const char* name = ::sigdescr_np(exit.signal);
  return "signal " + std::to_string(exit.signal) + " (" + (name != nullptr ? name : "unknown") +
         ")";
}

Process Process::spawn(const ProcessOptions& options) {
  auto args = pointers_to(options.args);
  auto env = pointers_to(options.env);
  std::vector<int> high_fds(options.fds.size());
  ChildPlan plan;
  plan.program = options.program.c_str();
  plan.args = args.data();
  plan.env = env.data();
  plan.cwd = options.cwd.empty() ? nullptr : options.cwd.c_str();
  plan.fds = options.fds.data();
  plan.fd_count = options.fds.size();
  plan.high_fds = high_fds.data();
  for (const auto& fd : options.fds) plan.lowest_free = std::max(plan.lowest_free, fd.as + 1);
  plan.parent = ::getpid();

  ClonedChild const child = clone_child(plan);
  if (child.failure != 0) {
    throw Error::from_errno(child.failure, "start " + options.program.string());
  }
  Process process(child.pid, UniqueFd(child.pidfd));
  if (plan.failure != 0) {
    throw Error::from_errno(plan.failure, std::string(plan.step) + " " + options.program.string());
  }
  return process;
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(pidfd_, other.pidfd_);
  return *this;
}

Process::~Process() {
  if (pid_ < 0) return;
  kill(SIGKILL);
  siginfo_t info = {};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) != 0 &&
         errno == EINTR) {
  }
}

Task<ProcessExit> Process::wait() {
  // The descriptor's own close must not close ours: it gets a duplicate.
  UniqueFd watched(::fcntl(pidfd_.get(), F_DUPFD_CLOEXEC, 3));
  if (!watched) throw Error::from_errno(errno, "watch a process");
  asio::posix::stream_descriptor descriptor(co_await asio::this_coro::executor, watched.release());
  co_await descriptor.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
  ProcessExit const exit = reap(pidfd_.get());
  pid_ = -1;
  co_return exit;
}

void Process::kill(int signal) noexcept {
  if (pid_ < 0) return;
  ::kill(-pid_, signal);
}

Task<void> read_stream(UniqueFd fd, std::function<void(std::string_view)> on_data) {
  asio::posix::stream_descriptor stream(co_await asio::this_coro::executor, fd.release());
  std::vector<char> buffer(kReadBytes);
  for (;;) {
    auto [error, count] =
        co_await stream.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
    if (count > 0) on_data({buffer.data(), count});
    if (error == asio::error::eof) co_return;
    if (error) throw boost::system::system_error(error, "read a program's output");
  }
}

namespace {

Task<void> collect(UniqueFd fd, std::string* into, std::size_t size_max) {
  co_await read_stream(std::move(fd), [into, size_max](std::string_view data) {
    into->append(data.substr(0, size_max - std::min(size_max, into->size())));
  });
}

}  // namespace

Task<CapturedOutput> run_program(ProcessOptions options, std::string input,
                                 std::size_t output_max) {
  UniqueFd const in = input_file(input);
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  options.fds.push_back({.fd = in.get(), .as = 0});
  options.fds.push_back({.fd = out.write.get(), .as = 1});
  options.fds.push_back({.fd = err.write.get(), .as = 2});
  Process process = Process::spawn(options);
  out.write.close();
  err.write.close();

  CapturedOutput result;
  TaskGroup readers(co_await asio::this_coro::executor);
  readers.spawn(collect(std::move(out.read), &result.out, output_max));
  readers.spawn(collect(std::move(err.read), &result.err, output_max));
  co_await readers.join();
  result.exit = co_await process.wait();
  co_return result;
}

std::optional<std::filesystem::path> find_program(std::string_view name,
                                                  std::optional<std::string_view> path) {
  auto runnable = [](const std::filesystem::path& file) {
    std::error_code ignored;
    return std::filesystem::is_regular_file(file, ignored) && ::access(file.c_str(), X_OK) == 0;
  };
  if (name.empty()) return std::nullopt;
  if (name.find('/') != std::string_view::npos) {
    std::filesystem::path const file(name);
    return runnable(file) ? std::optional(file) : std::nullopt;
  }
  if (!path) {
    const char* own = std::getenv("PATH");
    path = own != nullptr ? std::string_view(own) : kDefaultPath;
  }
  for (std::string_view rest = *path; !rest.empty();) {
    std::size_t const end = std::min(rest.find(':'), rest.size());
    std::filesystem::path const directory(rest.substr(0, end));
    // A relative entry would make what runs depend on where the user stands.
    if (directory.is_absolute() && runnable(directory / name)) return directory / name;
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return std::nullopt;
}

Pipe make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error::from_errno(errno, "make a pipe");
  return {.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

}  // namespace cobuild
