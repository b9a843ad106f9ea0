#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace cobuild::dockerfile {

/// Reads "300ms", "-1.5h", "2h45m": units ns, us, ms, s, m, h. \throws Error kInvalidInput in the words
/// of Go's time.ParseDuration.
[[nodiscard]] std::chrono::nanoseconds parse_duration(std::string_view text);

/// "0s", "1.5s", "100ms", "1h0m5s".
[[nodiscard]] std::string format_duration(std::chrono::nanoseconds duration);

}  // namespace cobuild::dockerfile
