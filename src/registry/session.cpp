#include "registry/session.hpp"

#include <algorithm>
#include <utility>

#include "registry/registry_error.hpp"

namespace cobuild::registry {
namespace {

constexpr int kAuthorizationsMax = 2;  ///< Times that one request is sent again after a 401.
constexpr std::string_view kDenied =
    "pull access denied, repository does not exist or may require authorization: ";

/// What can be had of an error body; a connection that breaks in it changes nothing.
Task<std::string> error_body(Response& response) {
  try {
    co_return co_await read_body(response, kErrorBodyBytesMax);
  } catch (const Error&) {
    co_return std::string();
  }
}

}  // namespace

std::string pull_scope(std::string_view repository) {
  return "repository:" + std::string(repository) + ":pull";
}

std::string push_scope(std::string_view repository) {
  return "repository:" + std::string(repository) + ":pull,push";
}

Task<ApiResponse> Session::send(Endpoint endpoint, Request request,
                                std::vector<std::string> scopes) {
  bool const is_push = std::ranges::find(scopes, push_scope(endpoint.repository)) != scopes.end();
  PlainHttp const plain_http = endpoint.insecure ? PlainHttp::kAllow : PlainHttp::kRefuse;
  for (int count = 0;; ++count) {
    auto const authorization = co_await authorizer_.authorization(endpoint, scopes);
    Request authorized = request;
    if (authorization) authorized.headers.add("Authorization", *authorization);
    ApiResponse got;
    got.method = request.method;
    got.is_push = is_push;
    got.url = request.url;
    got.response = co_await http_.send(std::move(authorized), plain_http);
    got.url = http_.spoken(std::move(got.url), plain_http);
    if (got.response->status() != 401) co_return std::move(got);
    auto challenges = parse_challenges(got.response->headers().all("WWW-Authenticate"));
    for (const AuthChallenge& challenge : challenges) {
      if (got.challenge_error.empty()) got.challenge_error = challenge.parameter("error");
    }
    auto again = co_await authorizer_.learn(endpoint, std::move(challenges), scopes, authorization);
    got.may_authorize_again = again && request.stream;
    if (!again || count >= kAuthorizationsMax || request.stream) co_return std::move(got);
    // Read to its end, the connection can carry the next request.
    co_await error_body(*got.response);
    scopes = std::move(*again);
  }
}

Task<Failure> Session::failure(Endpoint endpoint, ApiResponse got) {
  int const status = got.response->status();
  std::string const body = co_await error_body(*got.response);
  auto const retry_after = got.response->headers().find("Retry-After");
  Error error = status_error(got.method, got.url, status, body);
  if (status == 401 || status == 403) {
    std::string text(kDenied);
    if (got.is_push) text = "push access denied: ";
    if (!got.challenge_error.empty()) {
      text += "server message: " + got.challenge_error + ": authorization failed";
    } else {
      text += error.what();
    }
    std::string const remedy = co_await authorizer_.remedy(endpoint);
    error =
        Error(ErrorKind::kDenied, text + " (" + endpoint.base.authority() + "; " + remedy + ")");
  }
  if (status == 400 && !endpoint.base.is_tls() && body.find("HTTPS") != std::string::npos) {
    // "Client sent an HTTP request to an HTTPS server", "... was sent to HTTPS port"
    std::string const host = endpoint.base.authority();
    error = Error(error.kind(), std::string(error.what()) +
                                    "; it wants TLS: to trust its CA use --registry-ca " + host +
                                    "=FILE, to trust anybody --insecure-registry " + host);
  }
  Failure failure{.error = std::move(error),
                  .may_pass = got.may_authorize_again || is_retryable_status(status),
                  .retry_after = {},
                  .fatal = {}};
  if (retry_after) {
    failure.retry_after = parse_retry_after(*retry_after, options_.environment.now());
  }
  co_return failure;
}

}  // namespace cobuild::registry
