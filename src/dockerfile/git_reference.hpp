#pragma once

/// A git repository as a build context or a source of ADD, and what of it is wanted (F1.10.3 to
/// F1.10.6). Pure.

#include <optional>
#include <string>
#include <string_view>

namespace cobuild::dockerfile {

/// A value.
struct GitReference {
  std::string remote;    ///< Without query and fragment.
  std::string ref;       ///< Branch, tag, full ref or commit; empty: the default branch.
  std::string checksum;  ///< Of the commit, or its beginning; empty: any.
  std::string subdir;
  /// "github.com/o/r": could be a path as well. Only contexts may be written so.
  bool is_like_a_path = false;
  std::optional<bool> keep_git_dir;
  std::optional<bool> submodules;
  std::string mtime;  ///< "checkout", "commit" or empty.
  bool fetch_by_commit = false;
};

/// nullopt for what is no repository: of http and https URLs only those whose path ends in ".git"
/// are. \throws Error kInvalidInput, with BuildKit's message, for a repository with a query that
/// means nothing.
[[nodiscard]] std::optional<GitReference> try_parse_git_reference(std::string_view text);

}  // namespace cobuild::dockerfile
