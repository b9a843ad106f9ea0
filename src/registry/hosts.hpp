#pragma once

/// Which servers to ask for a registry's content. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "oci/spec/reference.hpp"
#include "registry/options.hpp"
#include "registry/url.hpp"

namespace cobuild::registry {

/// One server and where on it a repository is.
struct Endpoint {
  Url base;                ///< Its target is "/v2" or "/v2/PATH", without a slash at the end.
  std::string registry;    ///< The registry that it stands for, as in references.
  std::string repository;  ///< As this server calls it.
  bool is_mirror = false;
  bool is_told_whom = false;  ///< A mirror that serves several registries: "?ns=docker.io".
  bool insecure = false;      ///< Plain HTTP will do when TLS is not to be had.

  /// The URL of "manifests/TAG" and the like of the repository.
  [[nodiscard]] Url url(std::string_view path) const;
};

/// The host that serves a registry: docker.io is registry-1.docker.io.
[[nodiscard]] std::string api_host(std::string_view registry);

/// What is known of a server, called "host[:port]" by its URL or by references: its own entry, with
/// or without the port of TLS, the registry's that it serves, or that of its domain. Null when
/// there is none.
[[nodiscard]] const HostOptions* find_host(std::string_view host, const Options& options);

/// Mirrors first, the registry itself last. \throws Error kInvalidInput for a malformed mirror,
/// kDenied for what registries.conf blocks.
[[nodiscard]] std::vector<Endpoint> pull_endpoints(const oci::Reference& reference,
                                                   const Options& options);
/// The registry itself: mirrors are not written to. \throws Error as pull_endpoints.
[[nodiscard]] Endpoint push_endpoint(const oci::Reference& reference, const Options& options);

}  // namespace cobuild::registry
