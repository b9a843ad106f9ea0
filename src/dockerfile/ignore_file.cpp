#include "dockerfile/ignore_file.hpp"

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/path_pattern.hpp"
#include "core/base/rune.hpp"
#include "core/base/suggest.hpp"

namespace cobuild::dockerfile {
namespace {

/// The pattern as PatternSet and excludepatterns take it.
std::string normalise(std::string_view pattern) {
  bool const is_negation = pattern.starts_with('!');
  if (is_negation) pattern = trim_space(pattern.substr(1));
  std::string clean;
  if (!pattern.empty()) {
    clean = go_path::clean(pattern);
    if (clean.size() > 1 && clean.front() == '/') clean.erase(0, 1);
  }
  return is_negation ? "!" + clean : clean;
}

void check(const std::string& pattern, const std::string& filename, int line) {
  try {
    PatternSet const checked({pattern});
  } catch (const Error& error) {
    throw error.with_context(filename + ":" + std::to_string(line));
  }
}

}  // namespace

IgnoreFile parse_ignore_file(std::string_view text, std::string filename) {
  IgnoreFile file;
  file.filename = std::move(filename);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (int line_number = 1; !text.empty(); ++line_number) {
    std::size_t const end = text.find('\n');
    std::string_view const line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.starts_with('#')) continue;
    std::string_view const pattern = trim_space(line);
    if (pattern.empty()) continue;
    std::string clean = normalise(pattern);
    check(clean, file.filename, line_number);
    file.patterns.push_back(std::move(clean));
    file.lines.push_back(line_number);
    file.written.emplace_back(pattern);
  }
  return file;
}

std::string ignore_filename_for(std::string_view dockerfile) {
  return std::string(dockerfile) + ".dockerignore";
}

std::string explain_missing_source(std::string_view path, const IgnoreFile& ignore,
                                   std::span<const std::string> siblings) {
  std::string clean = go_path::clean(std::string("/").append(path));
  clean.erase(0, 1);
  auto const match = PatternSet(ignore.patterns).match(clean);
  if (match.matched && match.pattern) {
    std::size_t const index = *match.pattern;
    std::string where = ignore.filename;
    if (index < ignore.lines.size()) where += ":" + std::to_string(ignore.lines[index]);
    const std::string& written =
        index < ignore.written.size() ? ignore.written[index] : ignore.patterns[index];
    return "excluded by " + where + " pattern '" + written + "'";
  }
  auto const meant = closest_match(go_path::base(clean), siblings);
  return meant ? "did you mean '" + *meant + "'?" : std::string();
}

}  // namespace cobuild::dockerfile
