#pragma once

/// Where this process runs steps: the strengths of DESIGN section 6, found by doing.
///
/// enter_sandbox() is the first thing main does for a command that builds. The process splits: the
/// parent only waits, forwarding signals and, at the end, the status; the child goes on as root of
/// its own mount namespace (and pid namespace, and user namespace for an ordinary user). Everything
/// started in it ends with it, even after kill -9 of either half.

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace cobuild::ops {

/// From strongest to weakest; the numbers are what `cobuild doctor` prints.
enum class SandboxKind {
  kRoot = 1,           ///< Root with CAP_SYS_ADMIN.
  kUserNamespace = 2,  ///< An ordinary user with subordinate ids.
  kSingleId = 3,       ///< A user namespace that maps only the user. Steps are refused, so far.
  kChroot = 4,         ///< Root without namespaces. Steps are refused, so far.
  kNone = 5,           ///< Nothing: builds that only copy files work, with our own ids.
};

struct SandboxOptions {
  std::string oci_runtime;  ///< --oci-runtime: a path or a name; empty: crun, else runc.
  /// Stronger kinds than this one are not tried: for tests of what a weaker machine gives.
  SandboxKind strongest = SandboxKind::kRoot;
};

/// Where the process found itself after enter_sandbox().
struct Sandbox {
  SandboxKind kind = SandboxKind::kNone;
  bool own_pid_namespace = false;  ///< False: a killed cobuild may leave grandchildren behind.
  /// Whether /proc could be mounted anew. If not, containers see the machine's processes (F8.2.5).
  bool proc_mountable = true;
  pid_t waiting_parent = 0;  ///< The half that stays outside, as seen there; ourselves without one.
  uid_t outer_uid = 0;       ///< Who started us; getuid() is 0 in kinds 1 to 3.
  gid_t outer_gid = 0;
  std::filesystem::path runtime;  ///< The OCI runtime; empty when none was found.
  /// Why RUN steps cannot be run here and what to change, as one message; empty when they can.
  std::string refusal;

  [[nodiscard]] bool can_run() const noexcept { return refusal.empty(); }
  [[nodiscard]] bool rootless() const noexcept { return kind != SandboxKind::kRoot; }
};

/// Splits the process as described above. Call it first in main: no thread may exist, nothing may
/// be buffered in stdio, and relative paths and open descriptors keep their meaning. It does not
/// fail for want of rights: it takes the strongest kind that works, and `refusal` says what is
/// missing.
///
/// Returns in the child. The parent never returns: it exits as the child did (128 + n when signal n
/// killed it). SIGINT, SIGTERM, SIGHUP and SIGQUIT that the parent gets are sent on to the child,
/// once each within 100 ms, because a terminal or timeout(1) may send them twice.
/// \throws Error kNotFound when the runtime named by the options does not exist.
[[nodiscard]] Sandbox enter_sandbox(const SandboxOptions& options);

/// One line of `cobuild doctor`.
struct MachineCheck {
  std::string name;  ///< "user namespaces"
  bool ok = false;
  std::string detail;  ///< What was found: "crun 1.8.1 (/usr/bin/crun)".
  std::string fix;     ///< The exact command when !ok; empty when nothing can be advised.
};

struct MachineReport {
  SandboxKind kind = SandboxKind::kNone;  ///< What enter_sandbox would reach now.
  std::string explanation;  ///< One sentence about that kind, and how to get the next.
  std::vector<MachineCheck> checks;
};

/// Tries what a build would do, in short-lived children; changes nothing. Call it instead of
/// enter_sandbox, while the process has no threads. `store_root` says on which file system
/// overlayfs is tried; its nearest existing parent is used.
[[nodiscard]] MachineReport probe_machine(const SandboxOptions& options,
                                          const std::filesystem::path& store_root);

}  // namespace cobuild::ops
