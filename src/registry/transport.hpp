#pragma once

/// One request, one response, streamed: what the rest of this folder needs of HTTP.
///
/// http_transport implements it with sockets. It knows connections, TLS and proxies; it follows no
/// redirect, adds no credential and repeats nothing that may have had an effect.

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <variant>

#include "core/async/task.hpp"
#include "core/base/error.hpp"
#include "registry/request.hpp"

namespace cobuild::registry {

/// A response whose body is read as it comes. Dropping it unread closes its connection; read to the
/// end, the connection serves the next request.
class Response {
 public:
  virtual ~Response() = default;
  [[nodiscard]] virtual int status() const noexcept = 0;
  [[nodiscard]] virtual const Headers& headers() const noexcept = 0;

  /// The next bytes, at most kChunkBytesMax, valid until the next call; empty at the end.
  /// \throws Error kUnavailable when the connection breaks or stalls.
  virtual Task<std::span<const std::byte>> read() = 0;
};

/// There is something at that address, but it does not speak TLS (or nothing listens there):
/// whoever may do without TLS can try plain HTTP. `error` is what to throw if not.
struct NoTls {
  Error error;
};

using SendOutcome = std::variant<std::unique_ptr<Response>, NoTls>;

class Transport {
 public:
  virtual ~Transport() = default;

  /// Sends `request` and reads the response's head. At most Options::transfers_per_host_max
  /// responses to bulk requests exist at once for a host, and one more of any kind; a further call
  /// waits.
  /// \throws Error: kUnavailable when
  /// trying again may help, kNotFound for an unknown host, kDenied for a certificate that is not
  /// trusted.
  virtual Task<SendOutcome> send(Request request) = 0;

  virtual void close_idle() {}
};

/// Reads the rest of a body into memory. \throws Error kCorrupt when it is longer than `bytes_max`.
Task<std::string> read_body(Response& response, std::size_t bytes_max);

}  // namespace cobuild::registry
