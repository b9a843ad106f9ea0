#pragma once

/// Times as image configs, cache manifests and progress records spell them: RFC 3339 in UTC with up
/// to nine decimals and no trailing zeros ("2006-01-02T15:04:05.999999999Z").

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace cobuild {

/// Wall-clock time with the resolution that file systems and image configs have.
using Timestamp = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

[[nodiscard]] Timestamp now();
[[nodiscard]] std::string format_rfc3339(Timestamp time);

/// Reads RFC 3339 with any number of decimals (beyond nine they are dropped) and any offset; nullopt for
/// anything else. Times that a Timestamp cannot hold, such as Go's zero time in year 1, become the
/// nearest one that it can (1677 to 2262).
[[nodiscard]] std::optional<Timestamp> try_parse_rfc3339(std::string_view text);

}  // namespace cobuild
