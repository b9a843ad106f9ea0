#pragma once

/// The OCI runtime spec of a step (F8.1): what a runtime is given as config.json. Pure.

#include <boost/json/fwd.hpp>

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "ops/exec/container.hpp"

namespace cobuild::ops {

/// What the machine gives and forbids, as far as the spec depends on it.
struct SpecEnvironment {
  std::string id;          ///< The container's; the last part of its cgroup's path.
  std::string hosts_path;  ///< Files to bind over the container's.
  std::string resolv_conf_path;
  std::string default_cgroup_parent;
  bool rootless = false;          ///< In a user namespace that does not have all ids (F8.2.2).
  bool single_id = false;         ///< In one that has only root.
  bool cgroups = true;            ///< We may make cgroups.
  bool cgroup_namespace = false;  ///< On cgroup v2 (F8.1.1).
  bool proc_mountable = true;     ///< False: the machine's /proc is bound (F8.2.5).
  /// For SecurityMode::kInsecure: our own effective capabilities, and how many loop devices to
  /// show.
  std::vector<std::string> own_capabilities;
  int loop_devices = 0;
  /// The seccomp profile as a finished program, in base64, for a runtime that takes it; may be
  /// empty.
  std::string seccomp_program;
  /// Flags ("nosuid", "ro", …) of the mount that holds a path, which a bind in a user namespace
  /// must keep; unset: none. The one thing here that looks at the machine.
  std::function<std::vector<std::string>(const std::string&)> locked_mount_flags;
};

/// The whole of config.json.
[[nodiscard]] boost::json::object runtime_spec(const ContainerSpec& container,
                                               const SpecEnvironment& environment);

/// What a step in the sandbox may do (F8.1.2).
[[nodiscard]] std::set<std::string> sandbox_capabilities();

/// The names of the capabilities whose bits are set in `mask` (as CapEff in /proc/self/status).
[[nodiscard]] std::vector<std::string> capability_names(std::uint64_t mask);

}  // namespace cobuild::ops
