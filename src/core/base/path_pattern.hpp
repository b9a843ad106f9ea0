#pragma once

/// Shell-like patterns for paths, in the two dialects that builds use: one pattern as Go's
/// filepath.Match has it (COPY sources), and lists with `**` and `!` as .dockerignore has them
/// (F1.9.3 to F1.9.7), which also serve as include and exclude patterns of copies and local sources.
///
/// Matching is simulation of a small automaton: time is pattern times path, whatever the pattern.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild {

/// Whether `name` as a whole matches `pattern`: `*` and `?` do not cross "/", `[a-z]` and `[^a-z]`,
/// backslash escapes. \throws Error kInvalidInput "syntax error in pattern" for a malformed pattern,
/// whatever the name is.
[[nodiscard]] bool match_path(std::string_view pattern, std::string_view name);

/// Whether `pattern` is well-formed for match_path.
[[nodiscard]] bool is_path_pattern(std::string_view pattern) noexcept;

/// Whether `path` has characters that are special in patterns (`*`, `?`, `[`, backslash).
[[nodiscard]] bool has_wildcard(std::string_view path) noexcept;

class CompiledPathPattern;  ///< Private to path_pattern.cpp.

/// A list of patterns of which the last one that matches decides. A pattern that matches a directory
/// holds for all below it; `!pattern` takes back. Paths are relative, clean and use "/".
/// A value; const functions may be used by several threads at once.
class PatternSet {
 public:
  PatternSet() = default;

  /// Blanks around a pattern are dropped, empty ones are left out, the rest is cleaned as paths are.
  /// \throws Error kInvalidInput `illegal exclusion pattern: "!"` or "syntax error in pattern".
  explicit PatternSet(const std::vector<std::string>& patterns);

  /// What a directory's match says about its entries; made by match(), for match(). A
  /// default-constructed one is that of a tree's root.
  class ParentState {
   public:
    ParentState() = default;

   private:
    friend class PatternSet;
    std::vector<bool> matched_;
  };

  struct Match {
    bool matched = false;
    /// Index, in the list given to the constructor, of the pattern that decided; nullopt when none
    /// has matched. With matched == false it is a negation.
    std::optional<std::size_t> pattern;
  };

  /// For one path alone: its parents are looked at too.
  [[nodiscard]] Match match(std::string_view path) const;

  /// For walks: `parent` is the state of the directory that `path` is in, and `own`, when not null,
  /// receives that of `path` for its entries. With a default `parent` the path's parents are looked
  /// at, so a walk may start anywhere. `own` may not be `&parent`.
  [[nodiscard]] Match match(std::string_view path, const ParentState& parent, ParentState* own) const;

  [[nodiscard]] bool empty() const noexcept { return patterns_.empty(); }

  /// Whether there are `!` patterns, so that a directory that matches must still be walked.
  [[nodiscard]] bool has_negations() const noexcept { return has_negations_; }

  /// Whether something below the directory `path` may be taken back by a `!` pattern although the
  /// directory itself matches: false means that a walk may skip it. Errs to the side of true.
  [[nodiscard]] bool may_match_negation_below(std::string_view path) const;

  /// Whether something below the directory `path` may match a pattern: for include lists, false
  /// means that a walk may skip the directory. Errs to the side of true.
  [[nodiscard]] bool may_match_below(std::string_view path) const;

 private:
  std::vector<std::shared_ptr<const CompiledPathPattern>> patterns_;
  bool has_negations_ = false;
};

/// The patterns of a field named `what` ("includepatterns"), for messages. \throws Error as
/// PatternSet, saying which field is invalid.
[[nodiscard]] PatternSet compile_patterns(const std::vector<std::string>& patterns,
                                          std::string_view what);

}  // namespace cobuild
