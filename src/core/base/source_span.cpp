#include "core/base/source_span.hpp"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <vector>

namespace cobuild {
namespace {

// F9.1.2: 4 lines of context around a single line, 2 around several; half on each side.
constexpr int kContextSingle = 2;
constexpr int kContextSeveral = 1;
constexpr std::string_view kRule = "--------------------\n";

/// Of a line that is shown.
constexpr std::size_t kLineBytesMax = 1000;

/// A byte of UTF-8 that is not the first of its character.
bool is_continuation(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) == 0x80;
}

/// As BuildKit counts them: a newline at the end begins a last, empty line.
std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (true) {
    std::size_t const end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.push_back(line);
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

/// The line's beginning is enough to find it by.
void append_clipped(std::string_view line, std::string& out) {
  std::size_t end = std::min(line.size(), kLineBytesMax);
  while (end < line.size() && end > 0 && is_continuation(line[end])) --end;
  out += line.substr(0, end);
  if (end < line.size()) out += "... (" + std::to_string(line.size() - end) + " more bytes)";
}

}  // namespace

std::string render_excerpt(const SourceSpan& span) {
  std::string out = span.filename + ":" + std::to_string(span.first_line) + "\n";
  if (!span.text || span.first_line < 1) return out;
  auto const lines = split_lines(*span.text);
  int const context = span.first_line == span.last_line ? kContextSingle : kContextSeveral;
  int const first = std::max(1, span.first_line - context);
  int const last = std::min(static_cast<int>(lines.size()), span.last_line + context);
  out += kRule;
  for (int line = first; line <= last; ++line) {
    bool const marked = line >= span.first_line && line <= span.last_line;
    char number[16];
    std::snprintf(number, sizeof(number), " %3d", line);
    out += number;
    out += marked ? " | >>> " : " |     ";
    append_clipped(lines[static_cast<std::size_t>(line - 1)], out);
    out += '\n';
  }
  out += kRule;
  return out;
}

}  // namespace cobuild
