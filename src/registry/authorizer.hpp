#pragma once

/// Which Authorization header a request to a registry gets.

#include <boost/asio/any_io_executor.hpp>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/shared.hpp"
#include "core/async/task.hpp"
#include "registry/auth_challenge.hpp"
#include "registry/credentials.hpp"
#include "registry/hosts.hpp"
#include "registry/options.hpp"
#include "registry/redirects.hpp"
#include "registry/token_source.hpp"

namespace cobuild::registry {

/// Learns from challenges how each host wants to be spoken to, and keeps one token for each set of
/// scopes, fetched once however many requests wait for it.
class Authorizer {
 public:
  /// All of them outlive this.
  Authorizer(asio::any_io_executor executor, RedirectingTransport& http,
             CredentialSource& credentials, const Options& options);

  /// The header's value for a request that needs `scopes`; nullopt while the host has not asked for
  /// anything. \throws Error as fetch_token and CredentialSource::find.
  Task<std::optional<std::string>> authorization(Endpoint endpoint,
                                                 std::vector<std::string> scopes);

  /// Learns from a 401. `sent` is the header that was refused, if any. Returns the scopes to ask
  /// with again; nullopt when asking again would change nothing.
  Task<std::optional<std::vector<std::string>>> learn(Endpoint endpoint,
                                                      std::vector<AuthChallenge> challenges,
                                                      std::vector<std::string> scopes,
                                                      std::optional<std::string> sent);

  /// For the end of an error message: what the user can do about a refusal by this host.
  Task<std::string> remedy(Endpoint endpoint);

 private:
  struct Host {
    std::optional<AuthScheme> scheme;  ///< As last asked for.
    std::string realm;
    std::string service;
    std::map<std::string, std::shared_ptr<Shared<Token>>> tokens;  ///< By scopes.
  };
  Task<Token> token(Endpoint endpoint, std::vector<std::string> scopes);
  Task<Token> fetch(Endpoint endpoint, std::vector<std::string> scopes);
  Host& host_of(const Endpoint& endpoint) { return hosts_[endpoint.base.authority()]; }

  asio::any_io_executor executor_;
  RedirectingTransport& http_;
  CredentialSource& credentials_;
  const Options& options_;
  std::map<std::string, Host> hosts_;
};

}  // namespace cobuild::registry
