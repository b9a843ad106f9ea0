#pragma once

/// Who we are to a registry: docker's config.json and its credential helpers (F7.4.1, F7.4.2).

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/async/shared.hpp"
#include "core/async/task.hpp"
#include "core/base/secret.hpp"
#include "registry/options.hpp"

namespace cobuild::registry {

struct Credentials {
  std::string username;
  Secret password;
  Secret identity_token;  ///< A refresh token for the token server.
  Secret registry_token;  ///< A bearer token to use as it is.
  std::string source;     ///< For messages: "/root/.docker/config.json", "docker-credential-pass".

  friend bool operator==(const Credentials&, const Credentials&) = default;
};

/// Where credentials come from. The tests have their own.
class CredentialSource {
 public:
  virtual ~CredentialSource() = default;
  /// For the host of a request ("registry-1.docker.io", "localhost:5000"); nullopt: anonymous.
  /// \throws Error when the configuration cannot be read or a helper fails.
  virtual Task<std::optional<Credentials>> find(std::string host) = 0;
  /// For messages: what was looked into ("/root/.docker/config.json").
  [[nodiscard]] virtual std::string describe() const = 0;
};

/// The parts of a config.json that matter here.
struct DockerConfig {
  std::map<std::string, Credentials> auths;    ///< By config_key().
  std::map<std::string, std::string> helpers;  ///< credHelpers, by config_key().
  std::string default_helper;                  ///< credsStore; may be empty.
};

/// What config.json calls a host: "https://index.docker.io/v1/" for all names of Docker Hub, the
/// host for others, whatever scheme and path were written.
[[nodiscard]] std::string config_key(std::string_view host);

/// \throws Error kInvalidInput naming `path` and what is wrong.
[[nodiscard]] DockerConfig parse_docker_config(std::string_view json, const std::string& path);

/// What `docker-credential-… get` printed. \throws Error kInvalidInput naming `helper`.
[[nodiscard]] Credentials parse_helper_output(std::string_view json, const std::string& helper);

/// options.docker_config, else $DOCKER_CONFIG/config.json, else $HOME/.docker/config.json; empty
/// without any of these.
[[nodiscard]] std::filesystem::path docker_config_path(const Options& options);

/// Reads config.json once, and asks a helper once for each host. `options` and `pool` outlive it.
[[nodiscard]] std::unique_ptr<CredentialSource> make_docker_credentials(
    asio::any_io_executor executor, asio::thread_pool& pool, const Options& options);

}  // namespace cobuild::registry
