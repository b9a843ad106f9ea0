#pragma once

/// Everything a build has open, made once and handed to its parts: the wiring of DESIGN section 2.

#include <boost/asio/any_io_executor.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "cli/image_loader.hpp"
#include "cli/options.hpp"
#include "core/async/runtime.hpp"
#include "core/progress/events.hpp"
#include "core/solve/explanation.hpp"
#include "core/solve/op.hpp"
#include "core/store/snapshotter.hpp"
#include "core/store/store.hpp"
#include "core/sys/write_rights.hpp"
#include "ops/exec/oci_runtime.hpp"
#include "ops/exec/sandbox.hpp"
#include "ops/git_repositories.hpp"
#include "ops/http_files.hpp"
#include "ops/image_resolver.hpp"
#include "ops/layer_fetcher.hpp"
#include "ops/mount_courier.hpp"
#include "ops/resolver.hpp"
#include "ops/sealer.hpp"
#include "ops/services.hpp"
#include "registry/client.hpp"

namespace cobuild::cli {

class EarlyExport;

/// For what is written to places that the user named.
[[nodiscard]] inline WriteRights write_rights(const ops::Sandbox& sandbox) noexcept {
  return sandbox.outer_uid == 0 ? WriteRights::kAll : WriteRights::kUsers;
}

/// What the flags and this machine's configuration say of registries. `on_notice` may be empty, is
/// called if it is not by then, and outlives the client. \throws Error for what cannot be read.
[[nodiscard]] registry::Options read_registry_options(
    const GlobalOptions& global, const std::function<void(std::string_view)>& on_notice);

/// Members are made in order and destroyed in reverse, so later ones may refer to earlier ones.
class Workspace {
 public:
  /// Opens the store; connects to nothing. `runtime` must outlive this.
  /// \throws Error what opening the store or reading the configuration throws; and first of all what
  /// is wrong with the secrets and keys that are lent.
  Workspace(Runtime& runtime, const BuildOptions& options, const ops::Sandbox& sandbox);
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  Runtime& runtime;
  ImageLoader* loader = nullptr;  ///< Set when an output is to be loaded; somebody else's.
  EarlyExport* early = nullptr;   ///< Set when layers may be exported early; somebody else's.
  std::optional<solve::BuildReport> report;  ///< Once there is something to tell.
  /// Blobs that this build has pushed: "REGISTRY/REPOSITORY DIGEST".
  std::set<std::string> pushed;
  ops::Secrets secrets;
  ops::SshAgents ssh_agents;
  /// Gets what registry::Options::on_notice says; empty until there is somebody to show it.
  std::function<void(std::string_view)> on_registry_notice;
  /// What connections to registries and other services are told, made anew.
  std::function<registry::Options()> registry_options;
  /// A client that takes any certificate, and plain HTTP, from `registry`: for pushes with
  /// registry.insecure, which say nothing about pulls.
  std::function<std::unique_ptr<registry::Client>(const std::string& registry)> make_insecure_client;
  WriteRights output_rights;  ///< For what the outputs write.
  std::unique_ptr<store::Store> store;
  std::unique_ptr<store::Snapshotter> snapshotter;
  registry::Client registry;
  ops::ContentSources sources;
  ops::ImageResolver images;
  ops::LayerFetcher fetcher;
  ops::HttpFiles http_files;
  ops::GitRepositories git_repositories;
  ops::RemoteSources remote;
  std::optional<store::NewLayer> stdin_context;  ///< Has what was piped in, until the build ends.
  ops::Sealer sealer;
  std::unique_ptr<ops::ContainerRuntime> container_runtime;
  ops::Emulation emulation;
  ops::CdiDevices devices;
  ops::Services services;
  std::optional<ops::MountCourier> mount_courier;  ///< When cache mounts are to travel.
};

}  // namespace cobuild::cli
