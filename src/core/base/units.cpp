#include "core/base/units.hpp"

#include <array>
#include <charconv>
#include <cstdio>

namespace cobuild {
namespace {

constexpr std::array<const char*, 7> kSuffixes = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// The factor that `suffix` stands for; nullopt when it is no unit.
std::optional<double> unit_factor(std::string_view suffix, SizeUnits units) {
  if (suffix.empty()) return 1;
  char const letter = lower(suffix[0]);
  std::string_view const rest = suffix.substr(1);
  if (letter == 'b') return rest.empty() ? std::optional<double>(1) : std::nullopt;
  std::size_t const power = std::string_view("kmgtp").find(letter);
  if (power == std::string_view::npos) return std::nullopt;
  bool const plain = rest.empty() || (rest.size() == 1 && lower(rest[0]) == 'b');
  bool const binary_name = rest.size() == 2 && lower(rest[0]) == 'i' && lower(rest[1]) == 'b';
  if (!plain && !binary_name) return std::nullopt;
  double factor = 1;
  for (std::size_t i = 0; i <= power; ++i) factor *= units == SizeUnits::kDecimal ? 1000 : 1024;
  return factor;
}

}  // namespace

std::string format_bytes(std::int64_t bytes) {
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while ((value >= 1000 || value <= -1000) && unit + 1 < kSuffixes.size()) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0) return std::to_string(bytes) + "B";
  char text[64];
  std::snprintf(text, sizeof(text), "%.2f%s", value, kSuffixes[unit]);
  return text;
}

std::optional<std::int64_t> try_parse_bytes(std::string_view text, SizeUnits units) {
  std::size_t const number_end = text.find_first_not_of("0123456789.");
  std::string_view const number = text.substr(0, number_end);
  std::string_view suffix =
      number_end == std::string_view::npos ? std::string_view() : text.substr(number_end);
  if (suffix.starts_with(' ')) suffix.remove_prefix(1);
  double value = 0;
  auto const [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
  auto const factor = unit_factor(suffix, units);
  if (!factor) return std::nullopt;
  value *= *factor;
  if (!(value < 9.2e18)) return std::nullopt;
  return static_cast<std::int64_t>(value);
}

}  // namespace cobuild
