#pragma once

/// Containers by an OCI runtime: crun or runc.

#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "ops/exec/container.hpp"
#include "ops/exec/sandbox.hpp"

namespace cobuild::ops {

/// How long a cancelled or ended container may take to be gone before we give up on it.
inline constexpr std::chrono::seconds kContainerKillMax{10};

/// The [dns] table of buildkitd.toml (F8.1.17).
struct DnsOptions {
  std::vector<std::string> name_servers;
  std::vector<std::string> options;
  std::vector<std::string> search_domains;
};

struct OciRuntimeOptions {
  /// A directory of this build, on any file system, where bundles and the runtime's state go.
  /// Removed by its owner. Keep it short: sockets may be made in it.
  std::filesystem::path work_directory;
  DnsOptions dns;
  std::string default_cgroup_parent;
};

/// The runtime for `sandbox`. When steps cannot be run there, the one returned throws
/// Error(kUnsupported, sandbox.refusal) from run(). `pool` must outlive it.
[[nodiscard]] std::unique_ptr<ContainerRuntime> make_oci_runtime(asio::thread_pool& pool,
                                                                 Sandbox sandbox,
                                                                 OciRuntimeOptions options);

}  // namespace cobuild::ops
