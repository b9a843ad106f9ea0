#pragma once

/// What a registry client is told: plain values, filled in from the command line and
/// buildkitd.toml.

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/task.hpp"

namespace cobuild::registry {

/// A client certificate. Both are PEM files.
struct KeyPair {
  std::filesystem::path key;
  std::filesystem::path certificate;
};

/// One `[registry."host"]` table of buildkitd.toml (F8.6.1), or what flags say of that host.
struct HostOptions {
  std::vector<std::string>
      mirrors;  ///< "host[:port][/path]", tried in order before the host, for pulls.
  std::optional<bool>
      plain_http;         ///< true: no TLS. Unset: only for localhost and loopback addresses.
  bool insecure = false;  ///< Take any certificate, and plain HTTP when there is no TLS.
  std::vector<std::filesystem::path> ca_files;  ///< PEM, trusted beside the system's.
  std::vector<KeyPair> key_pairs;
  std::vector<std::filesystem::path>
      tls_dirs;  ///< Of *.crt, *.cert and *.key, as /etc/docker/certs.d has.
};

/// How often, and after how long, a failed request is tried again.
struct RetryPolicy {
  std::size_t attempts_max = 5;  ///< The first included.
  std::chrono::milliseconds first_delay{250};
  std::chrono::milliseconds delay_max{8000};
  /// Of a Retry-After: a longer one ends the retries, since nobody wants to sit that out unasked.
  std::chrono::milliseconds retry_after_max{60000};
};

/// The world a client lives in; tests put theirs here, so that nothing really sleeps.
struct Environment {
  /// Suspends. Default: a timer.
  std::function<Task<void>(std::chrono::milliseconds)> sleep;
  /// Default: the system clock.
  std::function<std::chrono::system_clock::time_point()> now;
  /// Uniform in [0, 1), for jitter. Default: a generator seeded by the system.
  std::function<double()> random;
  /// Default: the process's environment.
  std::function<std::optional<std::string>(std::string)> variable;
};

struct Options {
  std::map<std::string, HostOptions> hosts;     ///< By "host[:port]", as references have it.
  std::vector<std::filesystem::path> ca_files;  ///< Trusted for every host beside the system's.
  /// config.json; empty: $DOCKER_CONFIG/config.json, else ~/.docker/config.json. Need not exist.
  std::filesystem::path docker_config;

  std::size_t connections_per_host_max = 8;          ///< A further request waits.
  std::chrono::milliseconds connect_timeout{30000};  ///< TCP, proxy and TLS together.
  std::chrono::milliseconds idle_timeout{30000};     ///< Without a byte read or written.
  std::chrono::milliseconds keep_alive{60000};       ///< An unused connection is kept this long.
  RetryPolicy retry;
  Environment environment;

  /// For progress: called when a token is about to be fetched ("[auth] library/alpine:pull token
  /// for registry-1.docker.io"), when a request will be tried again, and when a mirror is passed
  /// over. May be empty.
  std::function<void(std::string_view)> on_notice;
};

/// Adds the `[registry]` tables of a buildkitd.toml to `options.hosts`; other tables are ignored.
/// \throws Error kInvalidInput naming file, line and key; kNotFound when the file is missing.
void load_buildkitd_config(const std::filesystem::path& file, Options& options);

/// Applies `--mirror HOST=MIRROR[/path]` or `--mirror MIRROR` (then for docker.io).
/// \throws Error kInvalidInput.
void add_mirror(std::string_view argument, Options& options);

/// Applies `--insecure-registry HOST[:PORT]`: any certificate, and plain HTTP. A scheme before it
/// is passed over. \throws Error kInvalidInput for what is no host.
void add_insecure_registry(std::string_view host, Options& options);

/// Applies `--registry-ca FILE` (for all hosts) or `--registry-ca HOST=FILE`.
void add_registry_ca(std::string_view argument, Options& options);

}  // namespace cobuild::registry
