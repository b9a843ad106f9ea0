#pragma once

/// WWW-Authenticate, parsed.

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild::registry {

enum class AuthScheme { kBearer, kBasic };  ///< Best first.

struct AuthChallenge {
  AuthScheme scheme;
  std::map<std::string, std::string>
      parameters;  ///< Names in lower case: realm, service, scope, error.

  [[nodiscard]] std::string parameter(const std::string& name) const;  ///< "" when absent.
  friend bool operator==(const AuthChallenge&, const AuthChallenge&) = default;
};

/// A response's WWW-Authenticate headers. Schemes that we do not speak are left out, malformed ends
/// are dropped; several challenges in one header are all found. Sorted by scheme, best first.
[[nodiscard]] std::vector<AuthChallenge> parse_challenges(const std::vector<std::string>& headers);

/// Sorted, one entry per resource with its actions united: {"repository:a:pull,push",
/// "repository:a:pull", "repository:b:pull"} gives {"repository:a:pull,push", "repository:b:pull"}.
[[nodiscard]] std::vector<std::string> merge_scopes(std::vector<std::string> scopes);

}  // namespace cobuild::registry
