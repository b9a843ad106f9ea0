#pragma once

/// Which servers to ask for a registry's content. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "registry/options.hpp"
#include "registry/url.hpp"

namespace cobuild::registry {

/// One server and where on it the API is.
struct Endpoint {
  Url base;              ///< Its target is "/v2" or "/v2/PATH", without a slash at the end.
  std::string registry;  ///< The registry that it stands for, as in references.
  bool is_mirror = false;
  bool insecure = false;  ///< Plain HTTP will do when TLS is not to be had.

  /// The URL of "REPOSITORY/REST"; mirrors are told whom they stand for ("?ns=docker.io").
  [[nodiscard]] Url url(std::string_view path) const;
};

/// The host that serves a registry: docker.io is registry-1.docker.io.
[[nodiscard]] std::string api_host(std::string_view registry);

/// Mirrors first, the registry itself last. \throws Error kInvalidInput for a malformed mirror.
[[nodiscard]] std::vector<Endpoint> pull_endpoints(std::string_view registry,
                                                   const Options& options);
/// The registry itself: mirrors are not written to.
[[nodiscard]] Endpoint push_endpoint(std::string_view registry, const Options& options);

}  // namespace cobuild::registry
