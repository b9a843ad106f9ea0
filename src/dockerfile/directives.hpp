#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace cobuild::dockerfile {

struct Directive {
  std::string name;  ///< "syntax", "escape" or "check".
  std::string value;
};

/// Reads `# name = value` comments line by line, until the first line that is none (F1.1.1).
class DirectiveReader {
 public:
  explicit DirectiveReader(std::string_view comment_mark = "#") : comment_mark_(comment_mark) {}

  /// nullopt for a line that is no directive; then the block is over. `line` has no blanks before it.
  /// \throws Error kInvalidInput "only one escape parser directive can be used".
  std::optional<Directive> read(std::string_view line);

  [[nodiscard]] bool done() const noexcept { return done_; }

 private:
  std::string comment_mark_;
  std::set<std::string> seen_;
  bool done_ = false;
};

/// The value of a directive at the top of `text`; bad directives are skipped.
[[nodiscard]] std::optional<std::string> find_directive(std::string_view text, std::string_view name,
                                                        std::string_view comment_mark = "#");

}  // namespace cobuild::dockerfile
