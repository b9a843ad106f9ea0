#pragma once

/// Bearer tokens from a token server (F7.4.3).

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/secret.hpp"
#include "registry/credentials.hpp"
#include "registry/options.hpp"
#include "registry/redirects.hpp"

namespace cobuild::registry {

struct Token {
  Secret value;
  std::chrono::system_clock::time_point expires;  ///< Not to be used from then on.
};

struct TokenQuery {
  std::string realm;    ///< URL of the token server.
  std::string service;  ///< May be empty.
  std::vector<std::string> scopes;
  std::optional<Credentials> credentials;  ///< nullopt: an anonymous token.
  PlainHttp plain_http = PlainHttp::kRefuse;
};

/// A token server's answer. It is used for 90% of its life, 60 seconds unless it says another.
/// \throws Error kDenied when there is no token in it.
[[nodiscard]] Token parse_token(std::string_view json, std::chrono::system_clock::time_point now);

/// Fetches a token: with credentials by POST (OAuth), and by GET with basic authentication where
/// the server does not know that; without by GET. `http` and `options` outlive the call.
/// \throws Error "failed to authorize: failed to fetch oauth token: …" (or "anonymous token"):
/// kDenied when refused, kUnavailable when trying again may help.
Task<Token> fetch_token(RedirectingTransport& http, const Options& options, TokenQuery query);

}  // namespace cobuild::registry
