#pragma once

/// Single Unicode characters as Go's packages unicode and utf8 see them, for languages that are
/// defined in those terms.

#include <cstddef>
#include <string_view>

namespace cobuild {

struct Rune {
  char32_t value;    ///< U+FFFD for a byte that is no UTF-8.
  std::size_t size;  ///< In bytes; 1 for a byte that is no UTF-8.
};

/// The first character of `text`, which must not be empty.
[[nodiscard]] Rune decode_rune(std::string_view text) noexcept;

/// White space: ASCII's, U+0085, U+00A0 and the Unicode space separators.
[[nodiscard]] bool is_space(char32_t rune) noexcept;

/// General category L.
[[nodiscard]] bool is_letter(char32_t rune) noexcept;

/// General category Nd: decimal digits of all scripts.
[[nodiscard]] bool is_digit(char32_t rune) noexcept;

/// `text` without the white space at its start; at both ends.
[[nodiscard]] std::string_view trim_space_left(std::string_view text) noexcept;
[[nodiscard]] std::string_view trim_space(std::string_view text) noexcept;

}  // namespace cobuild
