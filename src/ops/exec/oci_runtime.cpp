#include "ops/exec/oci_runtime.hpp"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <cstdlib>
#include <exception>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/async/task_group.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/sys/mount_api.hpp"
#include "core/sys/process.hpp"
#include "ops/exec/bundle.hpp"
#include "ops/exec/leftover_cgroups.hpp"
#include "ops/exec/process_tree.hpp"
#include "ops/exec/runtime_spec.hpp"
#include "ops/exec/seccomp_filter.hpp"
#include "ops/exec/ulimits.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;

/// How often a cancelled container is looked at again: it may just have started another process.
constexpr std::chrono::milliseconds kKillRound{10};
/// A runtime that does not clean up in this time is killed as well.
constexpr std::chrono::seconds kRuntimeGraceMax{3};
constexpr int kSpareLoopDevices = 8;
constexpr int kSignalCodes = 128;

struct MountFlag {
  unsigned long bit;
  const char* name;
};
constexpr MountFlag kLockedFlags[] = {{ST_RDONLY, "ro"},
                                      {ST_NODEV, "nodev"},
                                      {ST_NOEXEC, "noexec"},
                                      {ST_NOSUID, "nosuid"},
                                      {ST_NOATIME, "noatime"},
                                      {ST_RELATIME, "relatime"},
                                      {ST_NODIRATIME, "nodiratime"}};

std::vector<std::string> flags_of_mount(const std::string& path) {
  std::vector<std::string> flags;
  struct statvfs status = {};
  if (::statvfs(path.c_str(), &status) != 0) return flags;
  for (const MountFlag& flag : kLockedFlags) {
    if ((status.f_flag & flag.bit) != 0) flags.emplace_back(flag.name);
  }
  return flags;
}

/// The kernel's count of OOM kills on this machine.
std::int64_t oom_kills() {
  std::ifstream file("/proc/vmstat");
  std::string name;
  std::int64_t value = 0;
  while (file >> name >> value) {
    if (name == "oom_kill") return value;
  }
  return 0;
}

std::vector<std::string> own_capabilities() {
  std::ifstream file("/proc/self/status");
  std::string word;
  while (file >> word) {
    if (word == "CapEff:" && file >> word) {
      return capability_names(std::strtoull(word.c_str(), nullptr, 16));
    }
  }
  return {};
}

/// The devices there are, and some to come.
int loop_devices() {
  UniqueFd const control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  int const next_free = control ? ::ioctl(control.get(), LOOP_CTL_GET_FREE) : 0;
  return (next_free > 0 ? next_free : 0) + kSpareLoopDevices;
}

/// Whether cgroups can be made: v2, or the v1 hierarchy of devices, which is the one that matters.
bool may_make_cgroups() {
  if (::access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0) {
    return ::access("/sys/fs/cgroup", W_OK) == 0;
  }
  return ::access("/sys/fs/cgroup/devices", W_OK) == 0;
}

/// Nobody may make devices in a user namespace, but those of the machine can be shown.
void bind_devices(ContainerSpec& spec) {
  for (ContainerDevice& device : std::exchange(spec.devices, {})) {
    ContainerMount& mount = spec.mounts.emplace_back();
    mount.destination = std::move(device.path);
    mount.source = std::move(device.source);
  }
}

class OciRuntime final : public ContainerRuntime {
 public:
  OciRuntime(asio::thread_pool& pool, Sandbox sandbox, OciRuntimeOptions options)
      : pool_(pool),
        sandbox_(std::move(sandbox)),
        options_(std::move(options)),
        name_(sandbox_.runtime.filename().string()),
        id_prefix_(container_id_prefix(sandbox_.waiting_parent)),
        is_crun_(name_.find("crun") != std::string::npos),
        scratch_(ScratchDirectory::create(options_.work_directory)),
        state_(scratch_.path() / "state") {
    fs::create_directory(state_);
    environment_.default_cgroup_parent = options_.default_cgroup_parent;
    environment_.rootless = sandbox_.rootless();
    environment_.single_id = sandbox_.kind == SandboxKind::kSingleId;
    environment_.cgroups = !sandbox_.rootless() && may_make_cgroups();
    environment_.cgroup_namespace = ::access("/sys/fs/cgroup/cgroup.subtree_control", F_OK) == 0;
    environment_.proc_mountable = sandbox_.proc_mountable;
    environment_.locked_mount_flags = flags_of_mount;
    if (is_crun_) environment_.seccomp_program = seccomp_filter_base64(sandbox_capabilities());
  }

  [[nodiscard]] std::string_view name() const override { return name_; }

  std::string take_limits_warning(const ContainerSpec& spec) override {
    bool const has_limits = spec.resources != ResourceLimits{} || !spec.cgroup_parent.empty();
    if (!has_limits || environment_.cgroups || std::exchange(limits_told_, true)) return {};
    return std::string("memory and CPU limits and the parent cgroup of steps are ignored here: ") +
           (sandbox_.rootless() ? "an ordinary user may not make cgroups; run cobuild as root to have them kept"
                                : "/sys/fs/cgroup is not writable; mount it read-write to have them kept");
  }

  Task<ExitStatus> run(ContainerSpec spec, OutputCallback output) override {
    if (sandbox_.rootless()) {
      check_ulimits(spec.ulimits);
      bind_devices(spec);
    }
    if (spec.args.empty()) throw Error(ErrorKind::kInvalidInput, "a step without a command");
    auto shared = std::make_shared<const ContainerSpec>(std::move(spec));
    Attempt attempt = co_await try_run(shared, output);
    if (attempt.failure && !no_pivot_ && attempt.failure->find("pivot_root") != std::string::npos) {
      no_pivot_ = true;  // a root on the initial ramdisk cannot be pivoted away from
      attempt = co_await try_run(shared, output);
    }
    if (attempt.failure && !is_program_failure(*attempt.failure)) {
      throw Error(ErrorKind::kInternal, name_ + ": " + *attempt.failure);
    }
    if (!attempt.started && (!attempt.failure || attempt.status.success())) {
      throw nothing_started(attempt.status);
    }
    co_return attempt.status;
  }

 private:
  struct Attempt {
    ExitStatus status;
    std::optional<std::string> failure;  ///< What the runtime itself complained about.
    bool started = false;                ///< It says that the container's process came to be.
  };

  /// A program that does as if it had run the step must not get its nothing into the cache.
  [[nodiscard]] Error nothing_started(const ExitStatus& status) const {
    return Error(ErrorKind::kUnsupported,
                 sandbox_.runtime.string() + " ended with exit code " +
                     std::to_string(status.code) +
                     " without having started the step: it does not work as an OCI runtime; name "
                     "crun or runc with --oci-runtime, see `cobuild doctor`");
  }

  Task<Attempt> try_run(std::shared_ptr<const ContainerSpec> spec, OutputCallback output) {
    auto prepare = [this, spec] {
      SpecEnvironment environment = environment_;
      if (spec->security == SecurityMode::kInsecure) {
        environment.own_capabilities = own_capabilities();
        environment.loop_devices = loop_devices();
      }
      return std::make_shared<Bundle>(scratch_.path(), make_container_id(id_prefix_), *spec,
                                      std::move(environment), options_.dns);
    };
    std::shared_ptr<Bundle> bundle = co_await offload(pool_, std::move(prepare));
    std::int64_t const oom_kills_before = oom_kills();

    std::exception_ptr failure;
    ProcessExit exit;
    try {
      exit = co_await run_process(bundle, std::move(output));
    } catch (...) {
      failure = std::current_exception();
    }
    // Only then: a cancellation that comes later must still reach our caller.
    if (failure) co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    auto finish = [bundle] {
      bundle->remove_mount_stubs();
      Attempt attempt;
      attempt.failure = bundle->runtime_failure();
      attempt.started = bundle->process_was_started();
      return attempt;
    };
    Attempt attempt = co_await offload(pool_, std::move(finish));
    if (failure) std::rethrow_exception(failure);
    attempt.status = to_status(exit, oom_kills() > oom_kills_before);
    if (attempt.status.success() && attempt.started) attempt.failure.reset();
    co_return attempt;
  }

  Task<ProcessExit> run_process(std::shared_ptr<Bundle> bundle, OutputCallback output) {
    Timings::Span const span(Phase::kRuntime);
    Pipe out = make_pipe();
    Pipe err = make_pipe();
    Process process = start(*bundle, out, err);
    out.write.close();
    err.write.close();
    TaskGroup readers(co_await asio::this_coro::executor);
    readers.spawn(forward(std::move(out.read), 1, &output));
    readers.spawn(forward(std::move(err.read), 2, &output));
    TaskGroup servers(co_await asio::this_coro::executor);
    serve_sockets(bundle->take_sockets(), co_await asio::this_coro::executor, servers);

    std::optional<ProcessExit> exit;
    std::exception_ptr failure;
    try {
      exit = co_await process.wait();
    } catch (...) {
      failure = std::current_exception();
    }
    if (failure) {
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
      co_await kill_container(&process);
    }
    try {  // the pipes end with the last process of the container
      co_await with_timeout(readers.join(), kContainerKillMax);
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
    co_await stop(servers);
    if (failure) std::rethrow_exception(failure);
    co_return *exit;
  }

  [[nodiscard]] Process start(const Bundle& bundle, const Pipe& out, const Pipe& err) const {
    ProcessOptions process;
    process.program = sandbox_.runtime;
    process.args = {name_,          "--root", state_.string(), "--log", bundle.log_path().string(),
                    "--log-format", "json"};
    if (is_crun_) {
      process.args.emplace_back(environment_.cgroups ? "--cgroup-manager=cgroupfs"
                                                     : "--cgroup-manager=disabled");
    } else if (!environment_.cgroups) {
      process.args.emplace_back("--rootless=true");  // cgroups that cannot be made are no failure
    }
    for (std::string const& word :
         {std::string("run"), std::string("--bundle"), bundle.directory().string(),
          std::string("--pid-file"), bundle.pid_path().string()}) {
      process.args.push_back(word);
    }
    if (no_pivot_) process.args.emplace_back("--no-pivot");
    process.args.push_back(bundle.id());
    process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    process.fds = {{.fd = out.write.get(), .as = 1}, {.fd = err.write.get(), .as = 2}};
    return Process::spawn(process);
  }

  static Task<void> forward(UniqueFd fd, int stream, OutputCallback* output) {
    co_await read_stream(std::move(fd), [stream, output](std::string_view data) {
      if (*output) (*output)(stream, data);
    });
  }

  /// Kills what the runtime has started, again and again, so that it notices and takes its cgroup
  /// and state away; then, if it does not, the runtime. Waits for its end.
  static Task<void> kill_container(Process* process) {
    auto const deadline = std::chrono::steady_clock::now() + kRuntimeGraceMax;
    for (;;) {
      kill_descendants(process->pid());
      if (std::chrono::steady_clock::now() > deadline) process->kill(SIGKILL);
      try {
        co_await with_timeout(wait_once(process), kKillRound);
        co_return;
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kUnavailable) throw;
      }
    }
  }

  /// Ends the connections that the container's processes may have left.
  static Task<void> stop(TaskGroup& servers) {
    servers.cancel();
    bool const throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
      co_await servers.join();
    } catch (...) {  // They were told to.
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
  }

  static Task<void> wait_once(Process* process) { co_await process->wait(); }

  [[nodiscard]] static ExitStatus to_status(const ProcessExit& exit, bool machine_ran_out) {
    ExitStatus status;
    status.code = exit.signal != 0 ? kSignalCodes + exit.signal : exit.code;
    if (status.code > kSignalCodes && status.code < kSignalCodes + NSIG) {
      status.signal = status.code - kSignalCodes;
    }
    // The cgroup's own count is gone with the cgroup. The machine's tells that somebody was killed
    // meanwhile; that it was us is told by the way we ended.
    status.oom = machine_ran_out && !status.success();
    return status;
  }

  asio::thread_pool& pool_;
  Sandbox sandbox_;
  OciRuntimeOptions options_;
  std::string name_;
  std::string id_prefix_;
  bool is_crun_;
  bool no_pivot_ = false;
  bool limits_told_ = false;
  ScratchDirectory scratch_;
  fs::path state_;
  SpecEnvironment environment_;
};

/// Where steps cannot be run: builds that have none work, and those that have are told why.
class RefusingRuntime final : public ContainerRuntime {
 public:
  explicit RefusingRuntime(std::string refusal) : refusal_(std::move(refusal)) {}
  [[nodiscard]] std::string_view name() const override { return "none"; }
  Task<ExitStatus> run(ContainerSpec, OutputCallback) override {
    throw Error(ErrorKind::kUnsupported, refusal_);
    co_return ExitStatus{};
  }

 private:
  std::string refusal_;
};

}  // namespace

std::unique_ptr<ContainerRuntime> make_oci_runtime(asio::thread_pool& pool, Sandbox sandbox,
                                                   OciRuntimeOptions options) {
  if (!sandbox.can_run()) return std::make_unique<RefusingRuntime>(sandbox.refusal);
  return std::make_unique<OciRuntime>(pool, std::move(sandbox), std::move(options));
}

}  // namespace cobuild::ops
