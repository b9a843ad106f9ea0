#pragma once

/// What a registry client is told: plain values, filled in from the command line, buildkitd.toml,
/// containers' registries.conf, and certs.d directories.
///
/// Who wins. Mirrors of a registry: --mirror and buildkitd.toml together, in the order in which
/// they were given; only a registry without any has those of registries.conf. Certificates: all
/// that are named, and of the certs.d directories of a host the first. A host is insecure when any
/// of them says so. What registries.conf blocks or has elsewhere is blocked or elsewhere.

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

/// Where a mirror of registries.conf has what begins with its rule's prefix.
struct MirrorLocation {
  enum class Use { kAlways, kByDigest, kByTag };
  std::string location;  ///< "host[:port][/path]".
  Use use = Use::kAlways;

  friend bool operator==(const MirrorLocation&, const MirrorLocation&) = default;
};

/// One `[[registry]]` table of registries.conf. Of several that fit a name, the one with the
/// longest prefix counts.
struct RegistryRule {
  std::string location;  ///< Where names with the prefix really are; empty: where they say.
  bool blocked = false;
  std::vector<MirrorLocation> mirrors;  ///< Asked first, for pulls.
  std::filesystem::path source;         ///< The file that says so.

  friend bool operator==(const RegistryRule&, const RegistryRule&) = default;
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
  /// By "host[:port]", as references have it, or "*.domain" for the hosts that have no entry.
  std::map<std::string, HostOptions> hosts;
  /// By prefix: "host[:port][/path]" or "*.domain".
  std::map<std::string, RegistryRule> rules;
  std::vector<std::filesystem::path> ca_files;  ///< Trusted for every host beside the system's.
  /// config.json; empty: $DOCKER_CONFIG/config.json, else ~/.docker/config.json. Need not exist.
  std::filesystem::path docker_config;

  /// Blobs on their way from or to one host (F4.7.4); a further one waits. One more request may be
  /// going on, for what is small.
  std::size_t transfers_per_host_max = 4;
  std::chrono::milliseconds connect_timeout{30000};  ///< TCP, proxy and TLS together.
  /// Without a byte read or written. A body may also not be slower than 128 KiB in twice this time.
  std::chrono::milliseconds idle_timeout{30000};
  /// For a credential helper to answer: it may ask the user to unlock a key ring.
  std::chrono::milliseconds helper_timeout{60000};
  std::chrono::milliseconds keep_alive{60000};  ///< An unused connection is kept this long.
  RetryPolicy retry;
  Environment environment;

  /// For progress: called when a token is about to be fetched ("[auth] library/alpine:pull token
  /// for registry-1.docker.io"), when a request will be tried again, and when a mirror is passed
  /// over. May be empty.
  std::function<void(std::string_view)> on_notice;
};

/// Adds the `[registry]` tables of a buildkitd.toml to `options.hosts`, and takes
/// maxRegistryConcurrency of `[system]`; all else is ignored.
/// \throws Error kInvalidInput naming file, line and key; kNotFound when the file is missing.
void load_buildkitd_config(const std::filesystem::path& file, Options& options);

/// Adds what this machine's configuration says: registries.conf (version 2;
/// $CONTAINERS_REGISTRIES_CONF, else $HOME/.config/containers/registries.conf, else
/// `etc`/containers/registries.conf), the *.conf of registries.conf.d beside these, and directories
/// of certificates
/// ($HOME/.config/containers/certs.d, `etc`/containers/certs.d, `etc`/docker/certs.d: HOST[:PORT]
/// with
/// *.crt, and *.cert with *.key). Short names and unqualified-search-registries are not looked at:
/// a name without a registry is Docker Hub's. \throws Error kInvalidInput naming file, line and
/// key.
void load_system_config(Options& options, const std::filesystem::path& etc = "/etc");

/// Applies `--mirror HOST=MIRROR[/path]` or `--mirror MIRROR` (then for docker.io).
/// \throws Error kInvalidInput.
void add_mirror(std::string_view argument, Options& options);

/// Applies `--insecure-registry HOST[:PORT]`: any certificate, and plain HTTP. A scheme before it
/// is passed over. \throws Error kInvalidInput for what is no host.
void add_insecure_registry(std::string_view host, Options& options);

/// Applies `--registry-ca FILE` (for all hosts) or `--registry-ca HOST=FILE`.
void add_registry_ca(std::string_view argument, Options& options);

}  // namespace cobuild::registry
