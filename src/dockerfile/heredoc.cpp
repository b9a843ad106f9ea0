#include "dockerfile/heredoc.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "dockerfile/shell_words.hpp"

namespace cobuild::dockerfile {
namespace {

auto count_quotes(std::string_view text) {
  return std::ranges::count(text, '\'') + std::ranges::count(text, '"');
}

/// Words of a line with quotes and escapes as they are written; none if it is malformed, since then
/// the instruction's own parser says so.
std::vector<std::string> raw_words(std::string_view line) {
  WordOptions const options{.escape = '\\', .raw_quotes = true, .raw_escapes = true,
                            .skip_quotes = false, .skip_unset = true};
  try {
    return expand_word(line, EnvList(), options).words;
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

std::optional<Heredoc> parse_heredoc_marker(std::string_view word) {
  while (!word.empty() && word.front() >= '0' && word.front() <= '9') word.remove_prefix(1);
  if (!word.starts_with("<<")) return std::nullopt;
  word.remove_prefix(2);
  Heredoc heredoc;
  heredoc.chomp = word.starts_with('-');
  if (heredoc.chomp) word.remove_prefix(1);
  word.remove_prefix(std::min(word.find_first_not_of("\t\n\f\r "), word.size()));
  if (word.empty() || word.find('<') != std::string_view::npos) return std::nullopt;

  WordOptions options{.skip_unset = true};
  auto const words = expand_word(word, EnvList(), options).words;
  if (words.size() != 1) return std::nullopt;
  options.raw_quotes = true;
  auto const raw = expand_word(word, EnvList(), options).words;
  heredoc.name = words[0];
  // A part of the name was quoted if quotes went away.
  heredoc.expand = !raw.empty() && count_quotes(words[0]) == count_quotes(raw[0]);
  return heredoc;
}

std::optional<Heredoc> try_parse_heredoc_marker(std::string_view word) {
  try {
    return parse_heredoc_marker(word);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::vector<Heredoc> heredoc_markers(std::string_view line) {
  std::vector<Heredoc> markers;
  for (const std::string& word : raw_words(line)) {
    if (auto marker = parse_heredoc_marker(word)) markers.push_back(*std::move(marker));
  }
  return markers;
}

std::string chomp_tabs(std::string_view content) {
  std::string out;
  bool at_line_start = true;
  for (char const c : content) {
    if (at_line_start && c == '\t') continue;
    at_line_start = c == '\n';
    out += c;
  }
  return out;
}

}  // namespace cobuild::dockerfile
