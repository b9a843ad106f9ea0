#pragma once

/// What a step's container is, as plain data, and who runs it.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/secret.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::ops {

struct ContainerUser {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> additional_gids;
};

struct ExtraHost {
  std::string host;
  std::string ip;
};

/// An rlimit: `name` is "nofile", "core", … in any case. -1 is unlimited.
struct Ulimit {
  std::string name;
  std::int64_t soft = 0;
  std::int64_t hard = 0;
};

/// F2.3.7. kDefault is what the worker gives: the host's network, as no CNI is configured (F8.3.1).
enum class NetworkMode { kDefault, kHost, kNone };

/// F2.3.8.
enum class SecurityMode { kSandbox, kInsecure };

/// F8.1.14. 0 and empty mean: not limited.
struct ResourceLimits {
  std::int64_t memory_bytes = 0;
  std::int64_t memory_swap_bytes = 0;  ///< Memory included; -1: unlimited.
  std::uint64_t cpu_shares = 0;
  std::uint64_t cpu_period_us = 0;
  std::int64_t cpu_quota_us = 0;
  std::string cpuset_cpus;
  std::string cpuset_mems;

  friend bool operator==(const ResourceLimits&, const ResourceLimits&) = default;
};

/// Serves one connection until it ends. Runs on the loop beside the container, and is cancelled when
/// that is gone; what it throws ends that connection only.
using ConnectionHandler = std::function<Task<void>(UniqueFd)>;

/// Something mounted into the container over its root. Cache mounts are binds.
struct ContainerMount {
  enum class Kind {
    kBind,
    kTmpfs,
    kSecret,  ///< A file that is in memory only, for the one run.
    kSocket,  ///< A listening socket, for the one run.
  };
  Kind kind = Kind::kBind;
  std::string destination;       ///< Absolute, in the container.
  std::filesystem::path source;  ///< kBind: a directory, file or socket of this mount namespace.
  bool read_only = false;
  std::int64_t size_bytes = 0;  ///< kTmpfs: 0 is the kernel's default.
  Secret content;               ///< kSecret.
  ConnectionHandler serve;      ///< kSocket.
  ContainerUser owner;          ///< kSecret, kSocket: whose the file is, and
  unsigned mode = 0;            ///< its permissions.
  /// More options in the runtime's words: "nosuid", "nodev", "noexec", "mode=755".
  std::vector<std::string> options;
};

/// A device of this machine in the container.
struct ContainerDevice {
  std::string path;              ///< Absolute, in the container.
  std::filesystem::path source;  ///< On this machine: what an ordinary user gets bound.
  char type = '\0';              ///< 'b', 'c' or 'p'; 0: as the source is.
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::string permissions;  ///< Of "rwm"; empty: all.
  std::optional<std::uint32_t> mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
};

/// A program that the OCI runtime runs at some stage: the administrator's, for a device.
struct ContainerHook {
  std::string stage;  ///< "createContainer", …
  std::string path;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::optional<std::int64_t> timeout_s;
};

struct ContainerSpec {
  std::filesystem::path rootfs;  ///< A mounted, writable tree: Snapshotter::edit's path.
  bool read_only_rootfs = false;
  std::vector<std::string> args;  ///< args[0] is looked up in the container's PATH.
  std::vector<std::string> env;   ///< "NAME=VALUE".
  std::vector<std::pair<std::string, Secret>> secret_env;  ///< More of it, which nobody may print.
  std::string cwd = "/";          ///< Made, 0755 and the user's, when missing (F2.3.1).
  ContainerUser user;
  std::string hostname;  ///< Empty: buildkitsandbox (F8.1.15).
  std::vector<ExtraHost> extra_hosts;
  std::vector<ContainerMount>
      mounts;  ///< Parents before children; of one destination the last wins.
  std::vector<ContainerDevice> devices;
  std::vector<ContainerHook> hooks;
  NetworkMode network = NetworkMode::kDefault;
  SecurityMode security = SecurityMode::kSandbox;
  std::vector<Ulimit> ulimits;
  std::string cgroup_parent;
  ResourceLimits resources;
  /// Missing parents of mount points, made for the run, are removed again too (F2.3.5).
  bool remove_mount_stubs_recursive = false;
};

/// How the container's first process ended.
struct ExitStatus {
  int code = 0;      ///< As the runtime reports it: 128 + n after signal n.
  int signal = 0;    ///< n, when it can be told that signal n killed the process; else 0.
  bool oom = false;  ///< The kernel killed something in the container for want of memory (F8.1.24).

  [[nodiscard]] bool success() const noexcept { return code == 0; }
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

/// Gets the output as it comes, in pieces that end anywhere; `stream` is 1 or 2. Called on the
/// loop.
using OutputCallback = std::function<void(int stream, std::string_view data)>;

/// Runs one container from start to end. Lives on the loop; any number may run at once.
class ContainerRuntime {
 public:
  virtual ~ContainerRuntime() = default;

  /// For messages and `doctor`: "crun", "runc".
  [[nodiscard]] virtual std::string_view name() const = 0;

  /// What to tell the user about limits of `spec` that cannot be kept here, and what to change. Empty
  /// when they can, and after the first time.
  [[nodiscard]] virtual std::string take_limits_warning(const ContainerSpec& /*spec*/) { return {}; }

  /// Runs the container and waits until all of it is gone: processes, mounts, cgroup, temporary
  /// files; mount points that it added to the root are removed. All output has been given to
  /// `output` by then. Cancelling kills everything in it with SIGKILL, and is waited for, at most
  /// kContainerKillMax.
  /// \throws Error kUnsupported where steps cannot be run (with the remedy), kInvalidInput when the
  /// container cannot be started for a reason in the spec, kInternal when the runtime itself
  /// failed, with what it said. A process that ran and failed is not an error here.
  virtual Task<ExitStatus> run(ContainerSpec spec, OutputCallback output) = 0;
};

}  // namespace cobuild::ops
