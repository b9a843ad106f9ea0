#include "core/async/runtime.hpp"

#include <sched.h>
#include <unistd.h>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <exception>
#include <fstream>
#include <string>
#include <utility>

#include "core/async/context.hpp"

namespace cobuild {
namespace {

/// The CPUs that this process's cgroup grants; 0 when it sets no limit or cannot be read.
unsigned cgroup_cpus() {
  std::ifstream v2("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && quota != "max" && period > 0) {
    return static_cast<unsigned>(std::ceil(std::stod(quota) / period));
  }
  std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  double quota_us = 0;
  if (v1_quota >> quota_us && v1_period >> period && quota_us > 0 && period > 0) {
    return static_cast<unsigned>(std::ceil(quota_us / period));
  }
  return 0;
}

/// Whether the root may be sent a signal: before its first step and after its last, one would throw
/// out of the io_context (Boost 1.81).
struct RootState {
  bool started = false;
  bool ended = false;
  bool cancelled = false;
  int status = 1;
};

Task<void> run_root(RootState& state, Task<int> root) {
  std::exception_ptr failure;
  state.started = true;
  try {
    if (state.cancelled) throw boost::system::system_error(asio::error::operation_aborted);
    state.status = co_await std::move(root);
  } catch (...) {
    failure = std::current_exception();
  }
  state.ended = true;
  co_await asio::this_coro::throw_if_cancelled(false);
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

unsigned cpus_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  unsigned cpus = 1;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) {
    cpus = static_cast<unsigned>(std::max(1, CPU_COUNT(&set)));
  }
  if (unsigned const limit = cgroup_cpus(); limit > 0) cpus = std::min(cpus, limit);
  return std::max(1U, cpus);
}

Runtime::Runtime(unsigned threads) : loop_(1), pool_(threads > 0 ? threads : cpus_allowed()) {}

Runtime::~Runtime() {
  pool_.join();
}

int Runtime::run(Task<int> root, std::function<void()> on_interrupt) {
  asio::cancellation_signal cancel;
  asio::signal_set signals(loop_, SIGINT, SIGTERM);
  for (int const signal : {SIGHUP, SIGQUIT}) {
    struct sigaction inherited = {};
    ::sigaction(signal, nullptr, &inherited);
    if (inherited.sa_handler != SIG_IGN) signals.add(signal);  // nohup's stays
  }
  RootState state;
  std::exception_ptr failure;
  asio::steady_timer patience(loop_);

  std::function<void()> wait_for_signal = [&] {
    signals.async_wait([&](const boost::system::error_code& error, int signal) {
      if (error || state.ended) return;
      if (std::exchange(state.cancelled, true)) ::_exit(128 + signal);
      if (on_interrupt) on_interrupt();
      if (state.started) cancel.emit(asio::cancellation_type::all);
      patience.expires_after(kStopMax);
      patience.async_wait([signal](const boost::system::error_code& ended) {
        if (!ended) ::_exit(128 + signal);
      });
      wait_for_signal();
    });
  };
  wait_for_signal();
  auto finished = [&](std::exception_ptr error) {
    failure = std::move(error);
    // Gives the signals their default meaning back, so that nothing left on the loop can keep a
    // user from ending us.
    signals.clear();
    signals.cancel();
    patience.cancel();
  };
  asio::co_spawn(loop_, run_root(state, std::move(root)),
                 asio::bind_cancellation_slot(cancel.slot(), std::move(finished)));
  loop_.run();
  loop_.restart();
  if (failure) std::rethrow_exception(failure);
  return state.status;
}

}  // namespace cobuild
