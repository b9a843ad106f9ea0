#include "registry/authorizer.hpp"

#include <utility>

#include "core/base/error.hpp"
#include "registry/base64.hpp"

namespace cobuild::registry {
namespace {

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : " ") + part;
  return text;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    auto const end = std::min(text.find(' '), text.size());
    if (end > 0) parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

/// A name and password must not travel in the clear because a server says so.
void check_realm(const Endpoint& endpoint, const TokenQuery& query) {
  Url const realm = Url::parse(query.realm);
  if (!query.credentials || realm.is_tls() || is_localhost(realm.authority())) return;
  if (!endpoint.base.is_tls() || endpoint.insecure) return;
  throw Error(ErrorKind::kDenied, "failed to authorize: " + endpoint.base.authority() +
                                      " wants the credentials sent to " + realm.to_display() +
                                      " without TLS");
}

}  // namespace

Authorizer::Authorizer(asio::any_io_executor executor, RedirectingTransport& http,
                       CredentialSource& credentials, const Options& options)
    : executor_(std::move(executor)), http_(http), credentials_(credentials), options_(options) {}

Task<std::optional<std::string>> Authorizer::authorization(Endpoint endpoint,
                                                           std::vector<std::string> scopes) {
  std::string authority = endpoint.base.authority();
  auto const scheme = host_of(endpoint).scheme;
  if (!scheme) co_return std::nullopt;
  auto const who = co_await credentials_.find(std::move(authority));
  if (who && !who->registry_token.empty()) co_return "Bearer " + who->registry_token.reveal();
  if (*scheme == AuthScheme::kBasic) {
    if (!who || who->username.empty()) co_return std::nullopt;
    co_return "Basic " + base64_encode(who->username + ":" + who->password.reveal());
  }
  Token const bearer = co_await token(std::move(endpoint), std::move(scopes));
  co_return "Bearer " + bearer.value.reveal();
}

Task<Token> Authorizer::token(Endpoint endpoint, std::vector<std::string> scopes) {
  scopes = merge_scopes(std::move(scopes));
  std::string const key = join(scopes);
  while (true) {
    std::shared_ptr<Shared<Token>> shared = host_of(endpoint).tokens[key];
    if (!shared) {
      auto compute = [this, endpoint, scopes] { return fetch(endpoint, scopes); };
      shared = std::make_shared<Shared<Token>>(executor_, std::move(compute), OnFailure::kForget);
      host_of(endpoint).tokens[key] = shared;
    }
    bool const was_there = shared->is_done();
    Token found = co_await shared->get();
    if (!was_there || options_.environment.now() < found.expires) co_return found;
    auto& current = host_of(endpoint).tokens[key];
    if (current == shared) current.reset();
  }
}

Task<Token> Authorizer::fetch(Endpoint endpoint, std::vector<std::string> scopes) {
  if (options_.on_notice) {
    for (const std::string& scope : scopes) {
      if (!scope.starts_with("repository:")) continue;
      options_.on_notice("[auth] " + scope.substr(scope.find(':') + 1) + " token for " +
                         endpoint.base.authority());
    }
  }
  TokenQuery query;
  query.realm = host_of(endpoint).realm;
  query.service = host_of(endpoint).service;
  query.scopes = std::move(scopes);
  query.plain_http =
      endpoint.insecure || !endpoint.base.is_tls() ? PlainHttp::kAllow : PlainHttp::kRefuse;
  std::string authority = endpoint.base.authority();
  query.credentials = co_await credentials_.find(std::move(authority));
  check_realm(endpoint, query);
  co_return co_await fetch_token(http_, options_, std::move(query));
}

Task<std::optional<std::vector<std::string>>> Authorizer::learn(
    Endpoint endpoint, std::vector<AuthChallenge> challenges, std::vector<std::string> scopes,
    std::optional<std::string> sent) {
  std::string authority = endpoint.base.authority();
  auto const who = co_await credentials_.find(std::move(authority));
  Host& host = host_of(endpoint);
  for (const AuthChallenge& challenge : challenges) {
    if (who && !who->registry_token.empty()) {
      host.scheme = challenge.scheme;
      if (sent) co_return std::nullopt;
      co_return scopes;
    }
    if (challenge.scheme == AuthScheme::kBearer && !challenge.parameter("realm").empty()) {
      // A token may have been revoked or be for too little; but the same question gets the same
      // answer, so a refusal for insufficient scope is final unless the scopes grow.
      auto wanted = merge_scopes(scopes);
      auto merged = split(challenge.parameter("scope"));
      merged.insert(merged.end(), wanted.begin(), wanted.end());
      merged = merge_scopes(std::move(merged));
      bool const had_token = sent && sent->starts_with("Bearer ");
      if (had_token && challenge.parameter("error") == "insufficient_scope" && merged == wanted) {
        co_return std::nullopt;
      }
      if (had_token) host.tokens.erase(join(wanted));
      host.scheme = AuthScheme::kBearer;
      host.realm = challenge.parameter("realm");
      host.service = challenge.parameter("service");
      co_return merged;
    }
    if (challenge.scheme == AuthScheme::kBasic && who && !who->username.empty()) {
      if (sent && sent->starts_with("Basic ")) co_return std::nullopt;
      host.scheme = AuthScheme::kBasic;
      co_return scopes;
    }
  }
  co_return std::nullopt;
}

Task<std::string> Authorizer::remedy(Endpoint endpoint) {
  std::string const host = endpoint.registry;
  std::string authority = endpoint.base.authority();
  auto const who = co_await credentials_.find(std::move(authority));
  std::string const login = "docker login" + (host == "docker.io" ? "" : " " + host);
  if (!who) {
    co_return "no credentials for " + host + " in " + credentials_.describe() + ": run '" + login +
        "' if the repository is private, or check its name";
  }
  co_return "the credentials for " + host + " from " + who->source + " do not allow it: run '" +
      login + "' with an account that may, or check the name";
}

}  // namespace cobuild::registry
