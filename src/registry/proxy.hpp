#pragma once

/// Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY and NO_PROXY as Go reads them, and
/// ALL_PROXY for what has none of its own.

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/secret.hpp"
#include "registry/url.hpp"

namespace cobuild::registry {

struct Proxy {
  std::string host;
  std::string port;
  Secret authorization;  ///< Value of Proxy-Authorization; empty without user and password.
};

/// The environment: nullopt for a variable that is not set.
using Variables = std::function<std::optional<std::string>(std::string)>;

/// The proxy for `url`; nullopt for a direct connection, which localhost always has.
/// \throws Error kInvalidInput when the variable is malformed or names a kind of proxy other than
/// http.
[[nodiscard]] std::optional<Proxy> choose_proxy(const Url& url, const Variables& variables);

/// Whether `no_proxy` ("*", "example.com", ".example.com", "host:port", "10.0.0.0/8", "10.1.2.3")
/// covers `url`.
[[nodiscard]] bool is_excluded(const Url& url, std::string_view no_proxy);

}  // namespace cobuild::registry
