#pragma once

/// The address of a git repository, as users and LLB write it (F1.10.3, F1.10.4): a URL, or
/// "user@host:path". What is read of it is what Go's net/url reads, since it goes into definitions
/// and cache keys.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cobuild {

/// A value. Members are decoded, but for `remote`.
struct GitUrl {
  std::string scheme;    ///< "https", "http", "ssh" or "git".
  std::string user;      ///< Without the password.
  std::string password;  ///< A secret, if it is there.
  std::string host;      ///< With the port, if one is given; empty for "https:///x".
  std::string path;      ///< "/moby/buildkit.git"; of user@host:path what follows the colon.
  std::string ref;       ///< Of "#ref:subdir"; empty: none.
  std::string subdir;    ///< Relative and clean; empty: none.
  /// Of "?a=b&c", in their order; a key may come twice.
  std::vector<std::pair<std::string, std::string>> query;
  std::string remote;  ///< What git is given: the address without query and fragment.
};

/// nullopt for what is no address of a repository: other schemes, plain paths, malformed URLs.
[[nodiscard]] std::optional<GitUrl> try_parse_git_url(std::string_view text);

/// Any URL with a scheme, taken apart in the same way: for "github.com/o/r", which has none, prefix
/// "https://". nullopt when it is malformed.
[[nodiscard]] std::optional<GitUrl> try_parse_any_url(std::string_view text);

/// Whether `text` looks like something that git fetches from: by its scheme, or as user@host:path.
[[nodiscard]] bool is_git_transport(std::string_view text);

/// Whether `text` is a whole commit id: 40 or 64 lower-case hex digits.
[[nodiscard]] bool is_commit_id(std::string_view text) noexcept;

/// The address without user and password, for messages: "https://xxxxx:xxxxx@host/path".
[[nodiscard]] std::string redact_credentials(std::string_view url);

}  // namespace cobuild
