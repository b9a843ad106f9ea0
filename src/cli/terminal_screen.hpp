#pragma once

/// A small terminal that exists only in memory: the last lines of a step's output, as they would
/// look.
///
/// Programs in RUN draw progress bars, move the cursor and set colours. Writing that to the user's
/// terminal would wreck the display, so it is played here, and the display shows what came out.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/utf8.hpp"

namespace cobuild::cli {

class TerminalScreen {
 public:
  static constexpr std::size_t kColumnsMax = 1024;
  static constexpr std::size_t kRowsMax = 256;

  /// Sizes are brought into 1..kRowsMax and 1..kColumnsMax.
  TerminalScreen(std::size_t rows, std::size_t columns);

  /// Plays the output. Understands \n \r \b \t, cursor movement and erasing; skips colours and all
  /// other sequences; a sequence or character may be split over calls.
  void write(std::string_view bytes);

  /// Keeps the lines nearest to the cursor; wide ones are cut.
  void resize(std::size_t rows, std::size_t columns);

  /// The rows that are not blank, as UTF-8 without control characters or trailing blanks.
  [[nodiscard]] std::vector<std::string> lines() const;
  /// How many rows lines() would give.
  [[nodiscard]] std::size_t used_rows() const;

 private:
  /// What the bytes that come next belong to.
  enum class Mode { kText, kEscape, kEscapeOne, kControlSequence, kString, kStringEscape };
  using Row = std::vector<char32_t>;  ///< 0: nothing here (the second half of a wide character).

  void put(char32_t character);
  void put_text(char32_t character);
  void put_escape(char32_t character);
  void put_control_sequence(char32_t character);
  void run_control_sequence(char32_t command);
  void new_line();
  void erase(std::size_t row, std::size_t from, std::size_t to);
  [[nodiscard]] std::size_t parameter(std::size_t index, std::size_t fallback) const;

  std::vector<Row> rows_;
  std::size_t columns_;
  std::size_t row_ = 0;
  std::size_t column_ = 0;  ///< May be columns_: the next character wraps.
  Mode mode_ = Mode::kText;
  std::vector<std::size_t> parameters_;
  Utf8Decoder decoder_;
};

}  // namespace cobuild::cli
