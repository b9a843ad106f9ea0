#include "cli/terminal_screen.hpp"

#include <algorithm>

namespace cobuild::cli {
namespace {

constexpr char32_t kBlank = U' ';
constexpr std::size_t kTabColumns = 8;
constexpr std::size_t kParametersMax = 16;
constexpr std::size_t kParameterMax = 9999;

bool is_blank(const std::vector<char32_t>& row) {
  return std::all_of(row.begin(), row.end(), [](char32_t c) { return c == kBlank; });
}

}  // namespace

TerminalScreen::TerminalScreen(std::size_t rows, std::size_t columns)
    : columns_(std::clamp<std::size_t>(columns, 1, kColumnsMax)) {
  rows_.assign(std::clamp<std::size_t>(rows, 1, kRowsMax), Row(columns_, kBlank));
}

void TerminalScreen::write(std::string_view bytes) {
  decoder_.write(bytes, [this](char32_t character) { put(character); });
}

void TerminalScreen::resize(std::size_t rows, std::size_t columns) {
  rows = std::clamp<std::size_t>(rows, 1, kRowsMax);
  columns_ = std::clamp<std::size_t>(columns, 1, kColumnsMax);
  if (row_ >= rows) {
    auto const gone = static_cast<std::ptrdiff_t>(row_ + 1 - rows);
    rows_.erase(rows_.begin(), rows_.begin() + gone);
    row_ = rows - 1;
  }
  rows_.resize(rows);
  for (Row& row : rows_) row.resize(columns_, kBlank);
  column_ = std::min(column_, columns_);
}

std::vector<std::string> TerminalScreen::lines() const {
  std::vector<std::string> lines;
  for (const Row& row : rows_) {
    if (is_blank(row)) continue;
    std::string line;
    for (char32_t const character : row) {
      if (character != 0) append_utf8(line, character);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::size_t TerminalScreen::used_rows() const {
  return static_cast<std::size_t>(
      std::count_if(rows_.begin(), rows_.end(), [](const Row& row) { return !is_blank(row); }));
}

void TerminalScreen::put(char32_t character) {
  switch (mode_) {
    case Mode::kText: return put_text(character);
    case Mode::kEscape: return put_escape(character);
    case Mode::kEscapeOne: mode_ = Mode::kText; return;
    case Mode::kControlSequence: return put_control_sequence(character);
    case Mode::kString:  // A title, a link: nothing to show, up to BEL or ESC backslash.
      if (character == U'\a') mode_ = Mode::kText;
      if (character == U'\x1b') mode_ = Mode::kStringEscape;
      return;
    case Mode::kStringEscape: mode_ = character == U'\\' ? Mode::kText : Mode::kString; return;
  }
}

void TerminalScreen::put_text(char32_t character) {
  switch (character) {
    case U'\n': return new_line();
    case U'\r': column_ = 0; return;
    case U'\b': column_ -= column_ > 0 ? 1 : 0; return;
    case U'\t': column_ = std::min((column_ / kTabColumns + 1) * kTabColumns, columns_); return;
    case U'\x1b': mode_ = Mode::kEscape; return;
    default: break;
  }
  auto const width = static_cast<std::size_t>(column_width(character));
  if (width == 0 || width > columns_)
    return;  // Combining marks and control characters are dropped.
  if (column_ + width > columns_) new_line();
  Row& row = rows_[row_];
  // Overwriting half of a wide character leaves no half behind.
  if (row[column_] == 0 && column_ > 0) row[column_ - 1] = kBlank;
  if (column_ + width < columns_ && row[column_ + width] == 0) row[column_ + width] = kBlank;
  row[column_] = character;
  if (width == 2) row[column_ + 1] = 0;
  column_ += width;
}

void TerminalScreen::new_line() {
  column_ = 0;
  if (row_ + 1 < rows_.size()) {
    ++row_;
    return;
  }
  std::rotate(rows_.begin(), rows_.begin() + 1, rows_.end());
  rows_.back().assign(columns_, kBlank);
}

void TerminalScreen::put_escape(char32_t character) {
  mode_ = Mode::kText;
  if (character == U'[') {
    mode_ = Mode::kControlSequence;
    parameters_.assign(1, 0);
  } else if (character == U']' || character == U'P' || character == U'_' || character == U'^' ||
             character == U'X') {
    mode_ = Mode::kString;
  } else if (character == U'(' || character == U')' || character == U'#' || character == U'%') {
    mode_ = Mode::kEscapeOne;  // One more character belongs to it.
  } else if (character == U'c') {
    for (std::size_t row = 0; row < rows_.size(); ++row) erase(row, 0, columns_);
    row_ = column_ = 0;
  }
}

void TerminalScreen::put_control_sequence(char32_t character) {
  if (character >= U'0' && character <= U'9') {
    std::size_t& last = parameters_.back();
    last = std::min(last * 10 + (character - U'0'), kParameterMax);
  } else if (character == U';') {
    if (parameters_.size() < kParametersMax) parameters_.push_back(0);
  } else if (character >= U'@' && character <= U'~') {
    mode_ = Mode::kText;
    run_control_sequence(character);
  } else if (character == U'\x1b') {
    mode_ = Mode::kEscape;
  } else if (character < U' ') {
    mode_ = Mode::kText;  // Broken off.
    put_text(character);
  }
}

std::size_t TerminalScreen::parameter(std::size_t index, std::size_t fallback) const {
  return index < parameters_.size() && parameters_[index] > 0 ? parameters_[index] : fallback;
}

void TerminalScreen::run_control_sequence(char32_t command) {
  std::size_t const count = parameter(0, 1);
  std::size_t const kind = parameter(0, 0);
  switch (command) {
    case U'A': row_ -= std::min(row_, count); return;
    case U'B': row_ = std::min(row_ + count, rows_.size() - 1); return;
    case U'C': column_ = std::min(column_ + count, columns_ - 1); return;
    case U'D': column_ -= std::min(column_, count); return;
    case U'G': column_ = std::min(count, columns_) - 1; return;
    case U'H':
    case U'f':
      row_ = std::min(count, rows_.size()) - 1;
      column_ = std::min(parameter(1, 1), columns_) - 1;
      return;
    case U'K': erase(row_, kind == 0 ? column_ : 0, kind == 1 ? column_ + 1 : columns_); return;
    case U'J':
      erase(row_, kind == 0 ? column_ : 0, kind == 1 ? column_ + 1 : columns_);
      for (std::size_t row = 0; row < rows_.size(); ++row) {
        bool const above = row < row_ && kind != 0;
        bool const below = row > row_ && kind != 1;
        if (above || below) erase(row, 0, columns_);
      }
      return;
    default: return;
  }
}

void TerminalScreen::erase(std::size_t row, std::size_t from, std::size_t to) {
  to = std::min(to, columns_);
  for (std::size_t column = from; column < to; ++column) rows_[row][column] = kBlank;
}

}  // namespace cobuild::cli
