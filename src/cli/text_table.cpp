#include "cli/text_table.hpp"

#include <algorithm>
#include <vector>

#include "core/base/utf8.hpp"

namespace cobuild::cli {
namespace {

constexpr std::size_t kTab = 8;

/// How cells are filled up.
struct Filler {
  std::size_t padding;
  std::size_t unit;  ///< Columns are multiples of it.
  char character;
};

using Cells = std::vector<std::string_view>;  // The last one ends the line without a tab.

std::size_t width_of(std::string_view text) {
  std::size_t characters = 0;
  Utf8Decoder decoder;
  decoder.write(text, [&](char32_t) { ++characters; });
  return characters;
}

Cells split_cells(std::string_view line) {
  Cells cells;
  while (true) {
    std::size_t const tab = line.find('\t');
    cells.push_back(line.substr(0, tab));
    if (tab == std::string_view::npos) return cells;
    line.remove_prefix(tab + 1);
  }
}

/// The width of the column that line `index` has at `column`: that of the block of lines around it
/// that have such a column too.
std::size_t column_width_at(const std::vector<Cells>& lines, std::size_t index, std::size_t column,
                            const Filler& filler) {
  auto const has = [&](std::size_t line) { return lines[line].size() > column + 1; };
  std::size_t first = index;
  while (first > 0 && has(first - 1)) --first;
  std::size_t width = 1;
  for (std::size_t line = first; line < lines.size() && has(line); ++line) {
    width = std::max(width, width_of(lines[line][column]) + filler.padding);
  }
  return (width + filler.unit - 1) / filler.unit * filler.unit;
}

std::string align(std::string_view text, const Filler& filler) {
  std::vector<Cells> lines;
  while (!text.empty()) {
    std::size_t const end = text.find('\n');
    lines.push_back(split_cells(text.substr(0, end)));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  std::string out;
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::size_t const columns = lines[i].size() - 1;
    std::size_t const known = i == 0 ? 0 : std::min(columns, lines[i - 1].size() - 1);
    widths.resize(known);  // Blocks that go on keep their width; the others are measured once.
    for (std::size_t column = known; column < columns; ++column) {
      widths.push_back(column_width_at(lines, i, column, filler));
    }
    for (std::size_t column = 0; column < columns; ++column) {
      out += lines[i][column];
      std::size_t const missing = widths[column] - width_of(lines[i][column]);
      out.append((missing + filler.unit - 1) / filler.unit, filler.character);
    }
    out += lines[i].back();
    out += '\n';
  }
  return out;
}

}  // namespace

std::string align_tabs(std::string_view text) {
  return align(text, {.padding = 1, .unit = kTab, .character = '\t'});
}

std::string align_blanks(std::string_view text, std::size_t padding) {
  return align(text, {.padding = padding, .unit = 1, .character = ' '});
}

std::string one_line(std::string_view text) {
  std::string line = to_valid_utf8(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = ' ';
  }
  return line;
}

std::string printable(std::string_view text, std::size_t characters_max) {
  std::string out;
  std::size_t characters = 0;
  Utf8Decoder decoder;
  decoder.write(text, [&](char32_t c) {
    if (c == U'\n' || c == U'\t') c = U' ';
    if (c < U' ' || (c >= 0x7F && c < 0xA0) || characters++ >= characters_max) return;
    append_utf8(out, c);
  });
  return characters > characters_max ? out + "..." : out;
}

}  // namespace cobuild::cli
