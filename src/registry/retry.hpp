#pragma once

/// When to try again, and after how long. Pure.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/error.hpp"
#include "registry/options.hpp"

namespace cobuild::registry {

/// Whether a response with this status may be a different one next time.
[[nodiscard]] bool is_retryable_status(int status) noexcept;
/// Whether a thrown failure may not happen next time.
[[nodiscard]] bool is_retryable(ErrorKind kind) noexcept;

/// Retry-After: seconds ("120") or a date ("Fri, 31 Dec 1999 23:59:59 GMT"). Never negative;
/// nullopt when malformed.
[[nodiscard]] std::optional<std::chrono::milliseconds> parse_retry_after(
    std::string_view text, std::chrono::system_clock::time_point now);

/// How long to wait before attempt number `attempt` + 1, when `attempt` (from 1) has failed;
/// nullopt: give up. Doubles from first_delay up to delay_max; `random` in [0, 1) takes up to a
/// half off, so that clients that failed together do not come back together. A Retry-After is
/// waited out in full.
[[nodiscard]] std::optional<std::chrono::milliseconds> retry_delay(
    const RetryPolicy& policy, std::size_t attempt,
    std::optional<std::chrono::milliseconds> retry_after, double random);

}  // namespace cobuild::registry
