/// A program for the integration tests: enters the sandbox as cobuild does, makes a small root of
/// busybox, and runs steps in it. It prints what happened as lines "key=value" on descriptor 3, or
/// on stderr where that is not open.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <boost/asio/co_spawn.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "core/async/runtime.hpp"
#include "core/base/error.hpp"
#include "core/sys/mount_api.hpp"
#include "ops/exec/oci_runtime.hpp"
#include "ops/exec/sandbox.hpp"

namespace {

using namespace cobuild;
using namespace cobuild::ops;
namespace fs = std::filesystem;

/// `run_step --doctor`: what probe_machine says, one check a line.
int print_report(const fs::path& store_root) {
  MachineReport const report = probe_machine({}, store_root);
  std::cout << "kind=" << static_cast<int>(report.kind) << " " << report.explanation << "\n";
  for (const MachineCheck& check : report.checks) {
    std::cout << (check.ok ? "ok   " : "FAIL ") << check.name << ": " << check.detail
              << (check.fix.empty() ? "" : " [" + check.fix + "]") << "\n";
  }
  return 0;
}

/// `run_step --exec PROGRAM [ARGUMENT…]`: the program, inside the sandbox.
int exec_inside(char** args) {
  Sandbox const sandbox = enter_sandbox({});
  if (!sandbox.can_run()) ::dprintf(2, "%s\n", sandbox.refusal.c_str());
  ::execv(args[0], args);
  return 127;
}

struct Settings {
  SandboxOptions sandbox;
  fs::path work;
  ContainerSpec spec;
  int repeat = 1;
};

Settings parse(int argc, char** argv) {
  Settings settings;
  settings.spec.env = {"PATH=/bin"};
  settings.spec.remove_mount_stubs_recursive = true;
  int i = 1;
  auto value = [&] { return std::string(argv[++i]); };
  for (; i < argc; ++i) {
    std::string const flag = argv[i];
    if (flag == "--runtime")
      settings.sandbox.oci_runtime = value();
    else if (flag == "--strongest")
      settings.sandbox.strongest = SandboxKind{std::stoi(value())};
    else if (flag == "--work")
      settings.work = value();
    else if (flag == "--repeat")
      settings.repeat = std::stoi(value());
    else if (flag == "--env")
      settings.spec.env.push_back(value());
    else if (flag == "--cwd")
      settings.spec.cwd = value();
    else if (flag == "--hostname")
      settings.spec.hostname = value();
    else if (flag == "--no-network")
      settings.spec.network = NetworkMode::kNone;
    else if (flag == "--insecure")
      settings.spec.security = SecurityMode::kInsecure;
    else if (flag == "--memory")
      settings.spec.resources.memory_bytes = std::stoll(value());
    else if (flag == "--host") {
      std::string const host = value();
      settings.spec.extra_hosts.push_back({host, value()});
    } else if (flag == "--user") {
      settings.spec.user.uid = static_cast<unsigned>(std::stoul(value()));
      settings.spec.user.gid = settings.spec.user.uid;
      settings.spec.user.additional_gids = {7};
    } else if (flag == "--nofile") {
      settings.spec.ulimits.push_back({"nofile", std::stoll(value()), std::stoll(argv[i])});
    } else if (flag == "--bind" || flag == "--bind-ro") {
      ContainerMount mount;
      mount.source = value();
      mount.destination = value();
      mount.read_only = flag == "--bind-ro";
      settings.spec.mounts.push_back(mount);
    } else if (flag == "--tmpfs") {
      ContainerMount mount;
      mount.kind = ContainerMount::Kind::kTmpfs;
      mount.destination = value();
      mount.size_bytes = 1 << 20;
      settings.spec.mounts.push_back(mount);
    } else
      break;
  }
  settings.spec.args.assign(argv + i, argv + argc);
  return settings;
}

void make_root(const fs::path& root) {
  ::umask(022);
  fs::create_directories(root / "bin");
  fs::copy_file("/bin/busybox", root / "bin/busybox", fs::copy_options::overwrite_existing);
  for (const char* applet :
       {"sh",   "cat",   "id",    "sleep",   "echo", "ls",  "true",  "touch", "hostname",
        "grep", "kill",  "mkdir", "rm",      "stat", "pwd", "mount", "dd",    "head",
        "ps",   "mknod", "chown", "unshare", "tail", "ip",  "env",   "wc",    "test"}) {
    fs::create_symlink("busybox", root / "bin" / applet);
  }
  fs::create_directories(root / "etc");
  fs::create_symlink("../run/resolve/stub.conf", root / "etc/resolv.conf");
}

Task<int> run_steps(Runtime& runtime, const Sandbox& sandbox, const Settings& settings,
                    int report) {
  OciRuntimeOptions options;
  options.work_directory = settings.work / "run";
  auto containers = make_oci_runtime(runtime.pool(), sandbox, options);
  ContainerSpec spec = settings.spec;
  spec.rootfs = settings.work / "merged";
  ExitStatus status;
  double best_ms = 1e9;
  for (int i = 0; i < settings.repeat; ++i) {
    auto const start = std::chrono::steady_clock::now();
    auto print = [](int stream, std::string_view data) {
      static_cast<void>(::write(stream, data.data(), data.size()));
    };
    status = co_await containers->run(spec, print);
    std::chrono::duration<double, std::milli> const took = std::chrono::steady_clock::now() - start;
    best_ms = std::min(best_ms, took.count());
  }
  ::dprintf(report, "runtime=%s\ncode=%d\nsignal=%d\noom=%d\nbest_ms=%.2f\n",
            std::string(containers->name()).c_str(), status.code, status.signal, status.oom,
            best_ms);
  co_return status.code;
}

/// Whether runtimes would find a place of the machine's, not ours, where some machines have a
/// cgroup2 tree beside v1.
bool can_reach_stray_cgroup2() {
  struct stat root{};
  struct stat unified{};
  struct stat host_v1{};
  if (::stat("/sys/fs/cgroup/cgroup.procs", &root) == 0) return false;  // version 2 alone
  if (::stat("/sys/fs/cgroup/unified", &unified) != 0) return false;
  if (::stat("/sys/fs/cgroup/unified/cgroup.procs", &root) == 0) return true;
  return ::stat("/sys/fs/cgroup", &host_v1) == 0 && host_v1.st_dev == unified.st_dev;
}

}  // namespace

int main(int argc, char** argv) {
  auto const start = std::chrono::steady_clock::now();
  if (argc == 3 && std::string_view(argv[1]) == "--doctor") return print_report(argv[2]);
  if (argc >= 3 && std::string_view(argv[1]) == "--exec") return exec_inside(argv + 2);
  int const report = ::fcntl(3, F_GETFD) >= 0 ? 3 : 2;
  try {
    Settings settings = parse(argc, argv);
    Sandbox const sandbox = enter_sandbox(settings.sandbox);
    std::chrono::duration<double, std::milli> const took = std::chrono::steady_clock::now() - start;
    ::dprintf(report,
              "kind=%d\npid_namespace=%d\nproc_mountable=%d\nrefusal=%s\nsandbox_ms=%.2f\n"
              "stray_cgroup2=%d\n",
              static_cast<int>(sandbox.kind), sandbox.own_pid_namespace, sandbox.proc_mountable,
              sandbox.refusal.c_str(), took.count(), can_reach_stray_cgroup2());
    if (settings.work.empty()) return 0;
    for (const char* name : {"upper", "work"}) fs::remove_all(settings.work / name);
    for (const char* name : {"lower", "upper", "work", "merged"}) {
      fs::create_directories(settings.work / name);
    }
    if (fs::is_empty(settings.work / "lower")) make_root(settings.work / "lower");
    OverlayOptions overlay;
    overlay.lowers = {settings.work / "lower"};
    overlay.upper = settings.work / "upper";
    overlay.work = settings.work / "work";
    Mount const merged = mount_overlay(overlay, settings.work / "merged");
    Runtime runtime;
    return runtime.run(run_steps(runtime, sandbox, settings, report));
  } catch (const std::exception& error) {
    ::dprintf(report, "error=%s\n", error.what());
    return 125;
  }
}
