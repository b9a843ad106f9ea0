#pragma once

/// Bytes from programs and users, as characters: what terminals and JSON need to know.

#include <cstdint>
#include <string>
#include <string_view>

namespace cobuild {

/// Decodes UTF-8 that comes in pieces: a character split between two writes is one character.
class Utf8Decoder {
 public:
  static constexpr char32_t kReplacement = U'\uFFFD';

  /// Calls `put(char32_t)` for each character that `bytes` completes; bytes that are no UTF-8 give
  /// kReplacement. The rest waits for the next call.
  template <class Put>
  void write(std::string_view bytes, Put&& put) {
    for (char const c : bytes) {
      auto const byte = static_cast<unsigned char>(c);
      if (missing_ > 0) {
        if ((byte & 0xC0) == 0x80) {
          value_ = (value_ << 6) | (byte & 0x3FU);
          if (--missing_ == 0) put(is_valid() ? value_ : kReplacement);
          continue;
        }
        missing_ = 0;
        put(kReplacement);  // Cut short; this byte starts anew.
      }
      start(byte, put);
    }
  }

  /// Whether a character has begun and not ended.
  [[nodiscard]] bool is_partial() const noexcept { return missing_ > 0; }

 private:
  template <class Put>
  void start(unsigned char byte, Put&& put) {
    if (byte < 0x80) {
      put(static_cast<char32_t>(byte));
    } else if (byte >= 0xC2 && byte < 0xE0) {
      begin(byte & 0x1FU, 1, 0x80);
    } else if (byte >= 0xE0 && byte < 0xF0) {
      begin(byte & 0x0FU, 2, 0x800);
    } else if (byte >= 0xF0 && byte < 0xF5) {
      begin(byte & 0x07U, 3, 0x10000);
    } else {
      put(kReplacement);
    }
  }
  void begin(char32_t bits, int missing, char32_t smallest) noexcept {
    value_ = bits;
    missing_ = missing;
    smallest_ = smallest;
  }
  [[nodiscard]] bool is_valid() const noexcept {
    return value_ >= smallest_ && value_ <= 0x10FFFF && (value_ < 0xD800 || value_ > 0xDFFF);
  }

  char32_t value_ = 0;
  char32_t smallest_ = 0;
  int missing_ = 0;
};

/// Appends the UTF-8 of `character`.
void append_utf8(std::string& out, char32_t character);

/// `text` with everything that is not UTF-8 replaced by U+FFFD: fit for JSON.
[[nodiscard]] std::string to_valid_utf8(std::string_view text);

/// How many columns a terminal gives the character: 0 for combining marks and control characters,
/// 2 for East Asian wide ones and emoji, else 1.
[[nodiscard]] int column_width(char32_t character) noexcept;

}  // namespace cobuild
