#include "core/base/go_time.hpp"

#include <cstdio>
#include <cstdlib>

namespace cobuild {
namespace {

/// Reads exactly `count` digits at `at` and moves past them; nullopt if there are fewer.
std::optional<int> digits(std::string_view text, std::size_t& at, int count) {
  int value = 0;
  for (int i = 0; i < count; ++i, ++at) {
    if (at >= text.size() || text[at] < '0' || text[at] > '9') return std::nullopt;
    value = value * 10 + (text[at] - '0');
  }
  return value;
}

bool skip(std::string_view text, std::size_t& at, char wanted) {
  if (at >= text.size() || text[at] != wanted) return false;
  ++at;
  return true;
}

}  // namespace

Timestamp now() {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

std::string format_rfc3339(Timestamp time) {
  using namespace std::chrono;
  // Not floor<days>(time) and the difference: near Timestamp::min() that overflows.
  constexpr long long kNanosPerSecond = 1'000'000'000;
  long long const count = time.time_since_epoch().count();
  bool const borrow = count % kNanosPerSecond < 0;
  seconds const whole(count / kNanosPerSecond - (borrow ? 1 : 0));
  long long const nanos = count % kNanosPerSecond + (borrow ? kNanosPerSecond : 0);
  auto const day = floor<days>(whole);
  year_month_day const date{sys_days(day)};
  hh_mm_ss const clock{whole - day};
  char text[48];
  int length = std::snprintf(text, sizeof(text), "%04d-%02u-%02uT%02d:%02d:%02d",
                             static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                             static_cast<unsigned>(date.day()),
                             static_cast<int>(clock.hours().count()),
                             static_cast<int>(clock.minutes().count()),
                             static_cast<int>(clock.seconds().count()));
  std::string out(text, static_cast<std::size_t>(length));
  if (nanos != 0) {
    length = std::snprintf(text, sizeof(text), ".%09lld", nanos);
    std::string fraction(text, static_cast<std::size_t>(length));
    fraction.erase(fraction.find_last_not_of('0') + 1);
    out += fraction;
  }
  return out + "Z";
}

std::optional<Timestamp> try_parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  std::size_t at = 0;
  auto year_ = digits(text, at, 4);
  if (!year_ || !skip(text, at, '-')) return std::nullopt;
  auto month_ = digits(text, at, 2);
  if (!month_ || !skip(text, at, '-')) return std::nullopt;
  auto day_ = digits(text, at, 2);
  if (!day_ || !(skip(text, at, 'T') || skip(text, at, 't') || skip(text, at, ' '))) {
    return std::nullopt;
  }
  auto hour = digits(text, at, 2);
  if (!hour || !skip(text, at, ':')) return std::nullopt;
  auto minute = digits(text, at, 2);
  if (!minute || !skip(text, at, ':')) return std::nullopt;
  auto second = digits(text, at, 2);
  if (!second || *hour > 23 || *minute > 59 || *second > 59) return std::nullopt;
  long long nanos = 0;
  if (skip(text, at, '.')) {
    long long scale = 100'000'000;
    bool any = false;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10) {
      nanos += (text[at] - '0') * scale;
      any = true;
    }
    if (!any) return std::nullopt;
  }
  minutes offset{0};
  if (!skip(text, at, 'Z') && !skip(text, at, 'z')) {
    if (at >= text.size() || (text[at] != '+' && text[at] != '-')) return std::nullopt;
    int const sign = text[at++] == '-' ? -1 : 1;
    auto offset_hours = digits(text, at, 2);
    if (!offset_hours || !skip(text, at, ':')) return std::nullopt;
    auto offset_minutes = digits(text, at, 2);
    if (!offset_minutes || *offset_hours > 23 || *offset_minutes > 59) return std::nullopt;
    offset = minutes(sign * (*offset_hours * 60 + *offset_minutes));
  }
  if (at != text.size()) return std::nullopt;
  year_month_day const date{year(*year_), month(static_cast<unsigned>(*month_)),
                            day(static_cast<unsigned>(*day_))};
  if (!date.ok()) return std::nullopt;
  // Counted in seconds first: Go's zero time, year 1, is beyond what nanoseconds in 64 bits can hold.
  auto const whole = seconds(sys_days(date).time_since_epoch()) + hours(*hour) + minutes(*minute) +
                     seconds(*second) - offset;
  if (whole < floor<seconds>(Timestamp::min().time_since_epoch()) + seconds(1)) return Timestamp::min();
  if (whole >= floor<seconds>(Timestamp::max().time_since_epoch())) return Timestamp::max();
  return Timestamp(whole + nanoseconds(nanos));
}

}  // namespace cobuild
