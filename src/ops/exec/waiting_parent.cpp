#include "ops/exec/waiting_parent.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <map>

#include "core/base/timings.hpp"
#include "core/sys/process.hpp"
#include "ops/exec/leftover_cgroups.hpp"

namespace cobuild::ops {
namespace {

using Clock = std::chrono::steady_clock;

/// A terminal or timeout(1) may send one wish twice: to us and to our group.
constexpr std::chrono::milliseconds kSameSignal{100};

constexpr int kForwarded[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGUSR1, SIGUSR2};

sigset_t watched_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (int signal : kForwarded) ::sigaddset(&set, signal);
  for (int signal : {SIGCHLD, SIGTSTP, SIGCONT}) ::sigaddset(&set, signal);
  return set;
}

/// The exit status of `child` once it has ended; -1 while it runs.
int status_if_ended(pid_t child) {
  int status = 0;
  pid_t const ended = ::waitpid(child, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return -1;
  if (ended < 0) return 1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

[[noreturn]] void wait_and_exit(pid_t child, const sigset_t& watched) {
  std::map<int, Clock::time_point> last_sent;
  for (;;) {
    if (int const status = status_if_ended(child); status >= 0) {
      // Killed, it had no time for that; and with it went what could keep them busy.
      if (status == 128 + SIGKILL && ::geteuid() == 0) remove_leftover_cgroups(::getpid());
      ::_exit(status);
    }
    int const signal = ::sigwaitinfo(&watched, nullptr);
    if (signal <= 0 || signal == SIGCHLD) continue;
    if (signal == SIGTSTP) {
      // Ctrl-Z reaches only us, as the child is in another group: stop it, then ourselves.
      ::kill(child, SIGSTOP);
      ::raise(SIGSTOP);
      ::kill(child, SIGCONT);
      continue;
    }
    auto const now = Clock::now();
    auto [sent, first] = last_sent.try_emplace(signal, now);
    if (!first && now - sent->second < kSameSignal) continue;
    sent->second = now;
    ::kill(child, signal);
  }
}

/// Before the program has its own handlers. As the first process of a pid namespace we would not
/// even get signals that nobody handles.
void leave_at_once(int signal) {
  ::_exit(128 + signal);
}

void become_child(const Pipe& life, const sigset_t& before) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // If the parent was killed before the line above, its end of the pipe is closed.
  pollfd parent = {.fd = life.read.get(), .events = POLLIN, .revents = 0};
  if (::poll(&parent, 1, 0) > 0) ::_exit(128 + SIGKILL);
  struct sigaction action = {};
  action.sa_handler = leave_at_once;
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    struct sigaction inherited = {};
    ::sigaction(signal, nullptr, &inherited);
    if (inherited.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);  // nohup's stays
  }
  // We are a background group of the terminal now: `stty tostop` must not stop our output, and reading
  // from the terminal is to fail, not to wait for ever.
  action.sa_handler = SIG_IGN;
  for (int signal : {SIGTTOU, SIGTTIN}) ::sigaction(signal, &action, nullptr);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

bool fork_with_waiting_parent() {
  Timings& timings = process_timings();
  ResourceUse const used = timings.is_enabled() ? resources_used() : ResourceUse{};
  Pipe life = make_pipe();
  sigset_t const watched = watched_signals();
  sigset_t before;
  ::sigprocmask(SIG_BLOCK, &watched, &before);
  pid_t const child = ::fork();
  if (child < 0) {
    ::sigprocmask(SIG_SETMASK, &before, nullptr);
    return false;
  }
  if (child > 0) {
    ::setpgid(child, child);
    life.read = UniqueFd();
    wait_and_exit(child, watched);
  }
  life.write = UniqueFd();
  timings.carry(used);
  become_child(life, before);
  return true;
}

}  // namespace cobuild::ops
