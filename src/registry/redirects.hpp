#pragma once

/// A transport that follows redirects, and does without TLS where that is allowed.

#include <memory>
#include <set>
#include <string>

#include "core/async/task.hpp"
#include "registry/transport.hpp"

namespace cobuild::registry {

inline constexpr std::size_t kRedirectsMax = 10;

/// Whether a server that does not speak TLS may be spoken to without.
enum class PlainHttp { kRefuse, kAllow };

class RedirectingTransport {
 public:
  /// `transport` outlives this.
  explicit RedirectingTransport(Transport& transport) : transport_(transport) {}

  /// Sends a request. GET and HEAD follow redirects, without the Authorization header once they
  /// lead to another server, and never from TLS to plain HTTP unless that is allowed. Other methods
  /// are answered with the redirect itself. \throws Error as Transport::send.
  Task<std::unique_ptr<Response>> send(Request request, PlainHttp plain_http);

  /// `url` as it was spoken to, for whoever goes on from there or tells the user of it: one that
  /// was found not to speak TLS is a plain one.
  [[nodiscard]] Url spoken(Url url, PlainHttp plain_http) const;

 private:
  Task<std::unique_ptr<Response>> send_once(Request request, PlainHttp plain_http);

  Transport& transport_;
  std::set<std::string> plain_hosts_;  ///< Found not to speak TLS: not asked again.
};

}  // namespace cobuild::registry
