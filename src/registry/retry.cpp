#include "registry/retry.hpp"

#include <algorithm>
#include <charconv>

#include "registry/http_date.hpp"

namespace cobuild::registry {
namespace {

std::optional<int> number(std::string_view text) {
  int value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
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
