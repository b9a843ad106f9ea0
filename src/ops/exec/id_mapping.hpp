#pragma once

/// Putting this process into a new user namespace whose root is the user who started it.

#include <string>

namespace cobuild::ops {

/// How far it came.
enum class UserNamespaceOutcome {
  kAllIds,    ///< The user and all their subordinate ids are mapped.
  kSingleId,  ///< Only the user is mapped; `refusal` says why and how to get more.
  kRefused,   ///< No namespace was made; `refusal` says why.
};

struct UserNamespaceResult {
  UserNamespaceOutcome outcome = UserNamespaceOutcome::kRefused;
  std::string refusal;  ///< Cause and remedy, for the user. Empty when all ids are mapped.
};

/// Whether to ask for subordinate ids at all.
enum class WantedIds { kAll, kSingle };

/// Makes the namespace for this process, and a pid namespace for its future children when the
/// kernel lets it. Takes about 2 ms, most of it newuidmap and newgidmap, which run side by side.
/// Once a namespace is made there is no way back. No thread may exist.
[[nodiscard]] UserNamespaceResult enter_user_namespace(WantedIds wanted);

}  // namespace cobuild::ops
