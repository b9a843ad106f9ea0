#pragma once

/// Byte counts as people write and read them (F5.5, F8.6.5).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cobuild {

/// "123B", "1.23kB", "45.60MB": decimal units, two decimals above a kilobyte.
[[nodiscard]] std::string format_bytes(std::int64_t bytes);

/// What the letters of a size mean: "1MB" is 10^6 bytes in one, 2^20 in the other.
enum class SizeUnits { kDecimal, kBinary };

/// Reads "512", "512MB", "1.5 GiB", "10g", "7b": a number, at most one space, and a unit in any
/// case with an optional "b" or "ib". nullopt for anything else, for negative sizes and for sizes
/// that do not fit.
[[nodiscard]] std::optional<std::int64_t> try_parse_bytes(std::string_view text, SizeUnits units);

}  // namespace cobuild
