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
    out += lines[static_cast<std::size_t>(line - 1)];
    out += '\n';
  }
  out += kRule;
  return out;
}

}  // namespace cobuild
