#pragma once

/// Authorised requests to the API of one endpoint, each an attempt of its own.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/task.hpp"
#include "registry/attempts.hpp"
#include "registry/authorizer.hpp"
#include "registry/hosts.hpp"
#include "registry/redirects.hpp"

namespace cobuild::registry {

/// Scopes of a repository, as token servers know them.
[[nodiscard]] std::string pull_scope(std::string_view repository);
[[nodiscard]] std::string push_scope(std::string_view repository);

struct ApiResponse {
  std::unique_ptr<Response> response;
  Method method = Method::kGet;
  Url url;               ///< Of the request, before redirects.
  bool is_push = false;  ///< Asked for with the right to push.
  /// When it is a 401: what the challenge said was wrong with our token ("insufficient_scope").
  std::string challenge_error;
  /// A 401 to a streamed request that another token may mend: the next attempt gets it.
  bool may_authorize_again = false;
};

class Session {
 public:
  /// All outlive this.
  Session(RedirectingTransport& http, Authorizer& authorizer, const Options& options)
      : http_(http), authorizer_(authorizer), options_(options) {}

  /// Sends `request` with the authorisation that the endpoint wants for `scopes`, asking for it
  /// when the endpoint says so. A streamed body is not sent twice: a 401 to it is returned, but the
  /// token is known to be of no use. Whatever the status, it is returned.
  Task<ApiResponse> send(Endpoint endpoint, Request request, std::vector<std::string> scopes);

  /// A response that is not what was hoped for, as a failure: reads its error body, adds the remedy
  /// for 401 and 403, and honours Retry-After.
  Task<Failure> failure(Endpoint endpoint, ApiResponse got);

  [[nodiscard]] const Options& options() const noexcept { return options_; }

 private:
  RedirectingTransport& http_;
  Authorizer& authorizer_;
  const Options& options_;
};

}  // namespace cobuild::registry
