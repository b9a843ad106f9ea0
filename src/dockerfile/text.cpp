#include "dockerfile/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "core/base/go_quote.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr std::string_view kBlanks = "\t\v\f\r ";

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }
char upper(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - ('a' - 'A')) : c; }

}  // namespace

std::string to_lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

std::string to_upper(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), upper);
  return out;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    std::size_t const end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  std::string out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) out += separator;
    out += parts[i];
  }
  return out;
}

std::pair<std::string_view, std::optional<std::string_view>> cut(std::string_view text,
                                                                 char separator) {
  std::size_t const at = text.find(separator);
  if (at == std::string_view::npos) return {text, std::nullopt};
  return {text.substr(0, at), text.substr(at + 1)};
}

std::pair<std::string_view, std::optional<std::string_view>> cut_blanks(std::string_view text) {
  std::size_t const begin = text.find_first_of(kBlanks);
  if (begin == std::string_view::npos) return {text, std::nullopt};
  std::size_t const end = text.find_first_not_of(kBlanks, begin);
  return {text.substr(0, begin),
          end == std::string_view::npos ? std::string_view() : text.substr(end)};
}

std::vector<std::string> split_blanks(std::string_view text) {
  std::vector<std::string> parts;
  for (;;) {
    auto const [head, rest] = cut_blanks(text);
    parts.emplace_back(head);
    if (!rest) return parts;
    text = *rest;
  }
}

std::optional<bool> try_parse_bool(std::string_view text) {
  constexpr std::array<std::string_view, 6> kTrue{"1", "t", "T", "TRUE", "true", "True"};
  constexpr std::array<std::string_view, 6> kFalse{"0", "f", "F", "FALSE", "false", "False"};
  if (std::ranges::find(kTrue, text) != kTrue.end()) return true;
  if (std::ranges::find(kFalse, text) != kFalse.end()) return false;
  return std::nullopt;
}

std::optional<long long> try_parse_integer(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  long long value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

std::string quoted_list(const std::vector<std::string>& items) {
  std::string out = "[";
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out += ' ';
    out += go_quote(items[i]);
  }
  return out + "]";
}

std::string plain_list(const std::vector<std::string>& items) { return "[" + join(items, " ") + "]"; }

}  // namespace cobuild::dockerfile
