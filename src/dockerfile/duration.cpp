#include "dockerfile/duration.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr std::array<std::pair<std::string_view, std::int64_t>, 8> kUnits{{{"ns", 1},
                                                                           {"us", 1'000},
                                                                           {"\u00B5s", 1'000},
                                                                           {"\u03BCs", 1'000},
                                                                           {"ms", 1'000'000},
                                                                           {"s", 1'000'000'000},
                                                                           {"m", 60'000'000'000},
                                                                           {"h", 3'600'000'000'000}}};
constexpr long double kNanosecondsMax = 9.2e18L;

[[noreturn]] void fail(const std::string& message) {
  throw Error(ErrorKind::kInvalidInput, "time: " + message);
}

bool is_digit_char(char c) { return c >= '0' && c <= '9'; }

/// "12.5" off the front of `rest`; false if there is no digit.
bool take_number(std::string_view& rest, long double& number) {
  bool any = false;
  long double scale = 0;
  while (!rest.empty() && (is_digit_char(rest[0]) || (rest[0] == '.' && scale == 0))) {
    if (rest[0] == '.') {
      scale = 1;
    } else {
      any = true;
      number = number * 10 + (rest[0] - '0');
      scale *= 10;
    }
    rest.remove_prefix(1);
  }
  if (scale > 1) number /= scale;
  return any;
}

/// "1.5" for 1500 thousandths: `value` over `unit`, without zeros at the end.
std::string decimal(std::int64_t value, std::int64_t unit) {
  std::string out = std::to_string(value / unit);
  std::string fraction = std::to_string(unit + value % unit).substr(1);
  while (fraction.ends_with('0')) fraction.pop_back();
  return fraction.empty() ? out : out + "." + fraction;
}

}  // namespace

std::chrono::nanoseconds parse_duration(std::string_view text) {
  std::string const quoted = go_quote(text);
  std::string_view rest = text;
  bool const negative = rest.starts_with('-');
  if (negative || rest.starts_with('+')) rest.remove_prefix(1);
  if (rest == "0") return std::chrono::nanoseconds(0);
  if (rest.empty()) fail("invalid duration " + quoted);
  long double total = 0;
  while (!rest.empty()) {
    long double number = 0;
    if (!take_number(rest, number)) fail("invalid duration " + quoted);
    std::size_t size = 0;
    while (size < rest.size() && rest[size] != '.' && !is_digit_char(rest[size])) ++size;
    std::string_view const unit = rest.substr(0, size);
    rest.remove_prefix(size);
    if (unit.empty()) fail("missing unit in duration " + quoted);
    std::int64_t factor = 0;
    for (const auto& [name, nanoseconds] : kUnits) {
      if (name == unit) factor = nanoseconds;
    }
    if (factor == 0) fail("unknown unit " + go_quote(unit) + " in duration " + quoted);
    total += number * static_cast<long double>(factor);
    if (total > kNanosecondsMax) fail("invalid duration " + quoted);
  }
  auto const count = static_cast<std::int64_t>(total);
  return std::chrono::nanoseconds(negative ? -count : count);
}

std::string format_duration(std::chrono::nanoseconds duration) {
  std::int64_t count = duration.count();
  if (count == 0) return "0s";
  std::string out = count < 0 ? "-" : "";
  if (count < 0) count = -count;
  if (count < 1'000) return out + std::to_string(count) + "ns";
  if (count < 1'000'000) return out + decimal(count, 1'000) + "\u00B5s";
  if (count < 1'000'000'000) return out + decimal(count, 1'000'000) + "ms";
  std::int64_t const minutes = count / 60'000'000'000;
  if (minutes >= 60) out += std::to_string(minutes / 60) + "h";
  if (minutes > 0) out += std::to_string(minutes % 60) + "m";
  return out + decimal(count % 60'000'000'000, 1'000'000'000) + "s";
}

}  // namespace cobuild::dockerfile
