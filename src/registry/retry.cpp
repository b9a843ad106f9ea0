#include "registry/retry.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace cobuild::registry {
namespace {

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::optional<int> number(std::string_view text) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

/// "Sun, 06 Nov 1994 08:49:37 GMT": the one form that HTTP still allows to be sent.
std::optional<std::chrono::system_clock::time_point> parse_http_date(std::string_view text) {
  if (text.size() != 29 || !text.ends_with(" GMT") || text.substr(3, 2) != ", ") {
    return std::nullopt;
  }
  auto const month = std::ranges::find(kMonths, text.substr(8, 3));
  auto const day = number(text.substr(5, 2));
  auto const year = number(text.substr(12, 4));
  auto const hour = number(text.substr(17, 2));
  auto const minute = number(text.substr(20, 2));
  auto const second = number(text.substr(23, 2));
  if (month == kMonths.end() || !day || !year || !hour || !minute || !second) return std::nullopt;
  using namespace std::chrono;
  year_month_day const date(std::chrono::year(*year),
                            std::chrono::month(static_cast<unsigned>(month - kMonths.begin()) + 1),
                            std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  return sys_days(date) + hours(*hour) + minutes(*minute) + seconds(*second);
}

}  // namespace

bool is_retryable_status(int status) noexcept {
  switch (status) {
    case 408:  // request timeout
    case 429:  // too many requests
    case 500:
    case 502:
    case 503:
    case 504:
    case 507:  // seen from registries whose storage is busy
    case 520:  // 520 to 524: a CDN in front of the registry had trouble with it
    case 521:
    case 522:
    case 523:
    case 524: return true;
    default: return false;
  }
}

bool is_retryable(ErrorKind kind) noexcept {
  return kind == ErrorKind::kUnavailable;
}

std::optional<std::chrono::milliseconds> parse_retry_after(
    std::string_view text, std::chrono::system_clock::time_point now) {
  if (auto seconds = number(text)) return std::chrono::seconds(*seconds);
  auto const date = parse_http_date(text);
  if (!date) return std::nullopt;
  auto const left = std::chrono::ceil<std::chrono::milliseconds>(*date - now);
  return std::max(left, std::chrono::milliseconds(0));
}

std::optional<std::chrono::milliseconds> retry_delay(
    const RetryPolicy& policy, std::size_t attempt,
    std::optional<std::chrono::milliseconds> retry_after, double random) {
  if (attempt >= policy.attempts_max) return std::nullopt;
  if (retry_after) {
    if (*retry_after > policy.retry_after_max) return std::nullopt;
    return retry_after;
  }
  auto delay = policy.first_delay;
  for (std::size_t i = 1; i < attempt && delay < policy.delay_max; ++i) delay *= 2;
  delay = std::min(delay, policy.delay_max);
  auto const off = static_cast<double>(delay.count()) * 0.5 * std::clamp(random, 0.0, 1.0);
  return delay - std::chrono::milliseconds(static_cast<std::int64_t>(off));
}

}  // namespace cobuild::registry
