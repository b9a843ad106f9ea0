#pragma once

/// What a TLS handshake that failed means, and what to do about it. Pure.

#include <string>
#include <variant>

#include "core/base/error.hpp"
#include "registry/transport.hpp"
#include "registry/url.hpp"

namespace cobuild::registry {

enum class HandshakeProblem {
  kUntrusted,         ///< The certificate is not one that we accept.
  kWrongName,         ///< It is, but is for another host. `reason` has the names that it is for.
  kNotTls,            ///< The other side speaks something else, mostly plain HTTP.
  kClosed,            ///< The other side hung up.
  kRefused,           ///< A TLS alert: it does not like our version or name.
  kWantsCertificate,  ///< The other side does not take our certificate, or misses one.
  kNetwork,           ///< The connection broke or stalled.
};

struct HandshakeFailure {
  HandshakeProblem problem = HandshakeProblem::kNetwork;
  std::string reason;           ///< OpenSSL's or the system's words, but for kWrongName.
  bool trusts_somebody = true;  ///< Some CA certificates were found at all.
};

[[nodiscard]] std::variant<Error, NoTls> judge(const Url& url, const HandshakeFailure& failure);

}  // namespace cobuild::registry
