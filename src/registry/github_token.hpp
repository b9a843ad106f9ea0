#pragma once

/// The token of GitHub's cache service, read: which branches' caches it is for (F5.4.4).

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild::registry {

/// A branch or pull request that has caches.
struct GithubScope {
  std::string name;  ///< "refs/heads/main".
  bool writable = false;

  friend bool operator==(const GithubScope&, const GithubScope&) = default;
};

/// What a token ($ACTIONS_RUNTIME_TOKEN, a JWT) says; its signature is the service's to check.
/// \throws Error kInvalidInput without the token, for what is no such token; kDenied for one whose
/// time is over or has not come.
[[nodiscard]] std::vector<GithubScope> parse_github_token(
    std::string_view token, std::chrono::system_clock::time_point now);

}  // namespace cobuild::registry
