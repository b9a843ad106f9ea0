#include "cli/workspace.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "cli/mount_transfer.hpp"
#include "cli/when_needed.hpp"
#include "core/base/error.hpp"
#include "oci/layout_source.hpp"

namespace cobuild::cli {
namespace {

/// A typing error is not told only when some registry turns out not to be trusted.
void require_ca_file(const std::filesystem::path& file) {
  std::error_code error;
  if (std::filesystem::exists(file, error)) return;
  throw Error(ErrorKind::kNotFound, "registry CA certificate " + file.string() +
                                        ": no such file (from --registry-ca or --config)");
}

ops::ContentSources content_sources(const BuildOptions& options, registry::Client& client,
                                    asio::thread_pool& pool) {
  ops::ContentSources sources{client, {}, {}};
  sources.describe = [&client](oci::Reference reference) {
    return client.describe_manifest(std::move(reference));
  };
  for (const auto& [name, directory] : options.oci_layouts) {
    sources.layouts.emplace(name, std::make_shared<oci::LayoutSource>(directory, pool));
  }
  return sources;
}

/// The agents that git, which runs as this user, may talk to itself.
ops::FindSshSocket ssh_finder(std::vector<ops::SshSource> sources) {
  return [sources = std::move(sources)](const std::string& id) -> std::optional<std::filesystem::path> {
    for (const ops::SshSource& source : sources) {
      if (source.id != id) continue;
      std::error_code error;
      if (std::filesystem::is_socket(source.paths.at(0), error)) return source.paths.at(0);
      throw Error(ErrorKind::kUnsupported,
                  "git repositories over ssh cannot use key files yet: add the key to an agent, and "
                  "give that with --ssh " + id);
    }
    return std::nullopt;
  };
}

/// One that was asked for by name is tried at once, so that a build does not begin in vain.
std::unique_ptr<store::Snapshotter> make_snapshotter(const GlobalOptions& global) {
  auto make = [root = global.root, wanted = global.snapshotter] {
    return store::make_snapshotter(root, wanted);
  };
  return global.snapshotter == "auto" ? make_when_needed(make) : make();
}

std::unique_ptr<ops::ContainerRuntime> make_runtime(asio::thread_pool& pool, store::Store& store,
                                                    const ops::Sandbox& sandbox) {
  return make_when_needed(store, [&pool, sandbox](const store::NewLayer& scratch) {
    ops::OciRuntimeOptions options;
    options.work_directory = scratch.scratch();
    return ops::make_oci_runtime(pool, sandbox, std::move(options));
  });
}

}  // namespace

registry::Options read_registry_options(const GlobalOptions& global,
                                        const std::function<void(std::string_view)>& on_notice) {
  registry::Options options;
  options.on_notice = [&on_notice](std::string_view text) {
    if (on_notice) on_notice(text);
  };
  registry::load_system_config(options);
  options.idle_timeout = options.connect_timeout = global.registry_timeout;
  options.helper_timeout = 2 * global.registry_timeout;
  if (global.config) registry::load_buildkitd_config(*global.config, options);
  for (const std::string& host : global.insecure_registries) {
    registry::add_insecure_registry(host, options);
  }
  for (const auto& file : global.registry_cas) registry::add_registry_ca(file.string(), options);
  for (const auto& file : options.ca_files) require_ca_file(file);
  for (const auto& [host, host_options] : options.hosts) {
    for (const auto& file : host_options.ca_files) require_ca_file(file);
  }
  for (const auto& [host, mirrors] : global.mirrors) {
    for (const std::string& mirror : mirrors) {
      registry::add_mirror(host + "=" + mirror, options);
    }
  }
  return options;
}

Workspace::Workspace(Runtime& runtime_, const BuildOptions& options, const ops::Sandbox& sandbox)
    : runtime(runtime_),
      secrets(options.secrets),
      ssh_agents(options.ssh),
      registry_options([this, global = options.global] {
        return read_registry_options(global, on_registry_notice);
      }),
      make_insecure_client([this](const std::string& host) {
        registry::Options insecure = registry_options();
        registry::add_insecure_registry(host, insecure);
        return std::make_unique<registry::Client>(runtime.loop().get_executor(), runtime.pool(),
                                                  std::move(insecure));
      }),
      output_rights(write_rights(sandbox)),
      store(store::Store::open(runtime.loop(), runtime.pool(), {options.global.root})),
      snapshotter(make_snapshotter(options.global)),
      registry(runtime.loop().get_executor(), runtime.pool(),
               registry_options()),
      sources(content_sources(options, registry, runtime.pool())),
      images(runtime.loop().get_executor(), *store, sources),
      fetcher(runtime.loop().get_executor(), runtime.pool(), *store, sources),
      http_files(runtime.loop().get_executor(), runtime.pool(), *store, registry.downloads()),
      git_repositories(runtime.loop().get_executor(), runtime.pool(), *store),
      remote{http_files, git_repositories},
      sealer(runtime.pool(), *store, fetcher),
      container_runtime(make_runtime(runtime.pool(), *store, sandbox)),
      emulation(runtime.loop().get_executor(), sandbox),
      devices(ops::CdiDevices::default_directories(), ops::DeviceGrants::parse(options.entitlements)),
      services{runtime.pool(), *store, *snapshotter, fetcher, *container_runtime, &emulation,
               &secrets, &ssh_agents, &devices} {
  store->set_reachable([this](const std::string& source) { return sources.can_fetch(source); });
  auto find_secret = [this](const std::string& id) { return secrets.find(id); };
  http_files.set_secrets(find_secret);
  git_repositories.set_secrets(find_secret);
  git_repositories.set_ssh(ssh_finder(options.ssh));
  make_mount_courier(options, *this);
}

}  // namespace cobuild::cli
