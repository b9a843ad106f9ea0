#pragma once

/// Requests as they go over the wire. Pure.

#include <optional>
#include <string>

#include "registry/proxy.hpp"
#include "registry/request.hpp"

namespace cobuild::registry {

/// The request line and header fields, with the blank line that ends them. Through a proxy, a
/// request without TLS names the whole URL. \throws Error kInvalidInput for a line break in a
/// field's value.
[[nodiscard]] std::string request_text(const Request& request, const std::optional<Proxy>& proxy);

/// "host:port", as CONNECT names it.
[[nodiscard]] std::string tunnel_target(const Url& url);
/// The request for a way through `proxy` to `url`.
[[nodiscard]] std::string tunnel_text(const Url& url, const Proxy& proxy);

}  // namespace cobuild::registry
