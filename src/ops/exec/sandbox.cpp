#include "ops/exec/sandbox.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "core/base/error.hpp"
#include "core/sys/process.hpp"
#include "core/sys/user_namespace.hpp"
#include "ops/exec/id_mapping.hpp"
#include "ops/exec/leftover_cgroups.hpp"
#include "ops/exec/waiting_parent.hpp"

namespace cobuild::ops {
namespace {

constexpr long kCgroup2Magic = 0x63677270;
constexpr const char* kRuntimeNames[] = {"crun", "runc"};
constexpr const char* kNoRuntime =
    "no OCI runtime is installed; install one with: apt-get install crun "
    "(or name one with --oci-runtime)";

std::filesystem::path find_runtime(const std::string& wanted) {
  if (!wanted.empty()) {
    if (auto path = find_program(wanted)) return std::filesystem::absolute(*path);
    throw Error(ErrorKind::kNotFound,
                "OCI runtime " + wanted + " (from --oci-runtime): no such program");
  }
  for (const char* name : kRuntimeNames) {
    if (auto path = find_program(name)) return *path;
  }
  return {};
}

bool inside_own_pid_namespace() {
  return ::getpid() == 1;
}

/// Mounts of ours must not reach anybody else, but the machine's (un)mounts may reach us: a private
/// tree would keep somebody's unmounted disk busy for as long as we build.
bool enter_mount_namespace() {
  if (::unshare(CLONE_NEWNS) != 0) return false;
  return ::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) == 0;
}

/// A cgroup2 tree beside v1 hierarchies, on /sys/fs/cgroup/unified: crun refuses to work on such a
/// machine, runc complains. The controllers are all with v1 there, so it is not needed. Covered even
/// when it is gone already: the runtimes would leave directories in what is below it, the machine's own
/// tmpfs.
void hide_stray_cgroup2() {
  constexpr const char* kUnified = "/sys/fs/cgroup/unified";
  struct statfs root = {};
  struct statfs unified = {};
  if (::statfs("/sys/fs/cgroup", &root) != 0 || root.f_type == kCgroup2Magic) return;
  if (::statfs(kUnified, &unified) != 0) return;
  // A user namespace may not take away what it inherited, but may cover it.
  if (unified.f_type == kCgroup2Magic) static_cast<void>(::umount2(kUnified, MNT_DETACH));
  ::mount("tmpfs", kUnified, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4m,mode=755");
}

/// What the child does once it is alone in its namespaces.
void settle(Sandbox& sandbox) {
  sandbox.own_pid_namespace = inside_own_pid_namespace();
  if (!enter_mount_namespace()) {
    sandbox.kind = SandboxKind::kNone;
    sandbox.refusal = std::string("RUN needs a mount namespace of its own, which is refused: ") +
                      std::strerror(errno);
    return;
  }
  hide_stray_cgroup2();
  if (sandbox.own_pid_namespace) {
    // Masked files on the machine's /proc, as containers have, make the kernel refuse a fresh one.
    sandbox.proc_mountable =
        ::mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0;
  } else {
    // What is left of "everything ends with us": orphans come to us, and not to the machine's init.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  }
}

std::string steps_refused(const std::string& why) {
  return "RUN steps cannot be run here: " + why;
}

/// Root's way. False when root has no right to mount.
bool try_root(Sandbox& sandbox) {
  remove_leftover_cgroups();
  static_cast<void>(::unshare(CLONE_NEWPID));
  if (!fork_with_waiting_parent()) return false;
  sandbox.kind = in_user_namespace() ? SandboxKind::kUserNamespace : SandboxKind::kRoot;
  settle(sandbox);
  if (sandbox.kind == SandboxKind::kNone) {
    sandbox.kind = SandboxKind::kChroot;
    sandbox.refusal = steps_refused(
        "this is root without CAP_SYS_ADMIN; start the container that cobuild runs in with "
        "--privileged, or run cobuild as an ordinary user with subordinate ids");
  }
  return true;
}

/// An ordinary user's way.
void try_user(Sandbox& sandbox, SandboxKind strongest) {
  WantedIds const wanted =
      strongest <= SandboxKind::kUserNamespace ? WantedIds::kAll : WantedIds::kSingle;
  UserNamespaceResult const entered = enter_user_namespace(wanted);
  if (entered.outcome == UserNamespaceOutcome::kRefused) {
    sandbox.refusal = steps_refused(entered.refusal);
    return;
  }
  if (!fork_with_waiting_parent()) {
    sandbox.refusal = steps_refused(std::string("fork: ") + std::strerror(errno));
    return;
  }
  sandbox.kind = entered.outcome == UserNamespaceOutcome::kAllIds ? SandboxKind::kUserNamespace
                                                                  : SandboxKind::kSingleId;
  if (!entered.refusal.empty()) sandbox.refusal = steps_refused(entered.refusal);
  settle(sandbox);
}

}  // namespace

Sandbox enter_sandbox(const SandboxOptions& options) {
  Sandbox sandbox;
  sandbox.waiting_parent = ::getpid();
  sandbox.outer_uid = ::getuid();
  sandbox.outer_gid = ::getgid();
  sandbox.runtime = find_runtime(options.oci_runtime);
  bool const is_root = ::geteuid() == 0;
  if (options.strongest >= SandboxKind::kNone) {
    sandbox.refusal = steps_refused("no sandbox was asked for");
  } else if (!is_root) {
    try_user(sandbox, options.strongest);
  } else if (!try_root(sandbox)) {
    sandbox.refusal = steps_refused(std::string("fork: ") + std::strerror(errno));
  }
  if (sandbox.refusal.empty() && sandbox.runtime.empty()) {
    sandbox.refusal = steps_refused(kNoRuntime);
  }
  return sandbox;
}

}  // namespace cobuild::ops
