#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cobuild::dockerfile {

/// The patterns of ${name#pattern} and its kin (F1.3.5 to F1.3.8): `*`, `?`, and backslash before
/// `*`, `?`, backslash, `}` and `/`. Neither wildcard matches a newline. Matching takes time in
/// proportion to pattern times text.
class ShellPattern {
 public:
  enum class Length { kShortest, kLongest };

  /// \throws Error kInvalidInput "invalid escape '\x'".
  explicit ShellPattern(std::string_view pattern);

  /// `text` without the prefix, or suffix, that matches; all of it when none does.
  [[nodiscard]] std::string without_prefix(std::string_view text, Length length) const;
  [[nodiscard]] std::string without_suffix(std::string_view text, Length length) const;

  /// `text` with the first match, the longest one there, replaced.
  [[nodiscard]] std::string replace_first(std::string_view text, std::string_view replacement) const;

  /// `text` with all matches replaced. In the replacement "$0" stands for the match and "$$" for "$";
  /// other "$name" and "${name}" are empty, as they are in the regular expressions BuildKit uses.
  [[nodiscard]] std::string replace_all(std::string_view text, std::string_view replacement) const;

 private:
  struct Element {
    enum class Kind { kLiteral, kAny, kStar };
    Kind kind = Kind::kLiteral;
    char32_t value = 0;
    [[nodiscard]] bool accepts(char32_t rune) const noexcept {
      return kind == Kind::kLiteral ? rune == value : rune != U'\n';
    }
  };
  struct Found {
    bool found = false;
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  static std::string without_match(const std::vector<Element>& elements, const std::u32string& text,
                                   Length length, bool from_the_end);
  [[nodiscard]] Found find(const std::u32string& text, std::size_t from) const;

  std::vector<Element> elements_;
};

}  // namespace cobuild::dockerfile
