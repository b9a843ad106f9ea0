#pragma once

/// Dates of HTTP headers: "Sun, 06 Nov 1994 08:49:37 GMT". Pure.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace cobuild::registry {

/// The one form that HTTP still allows to be sent; nullopt for anything else.
[[nodiscard]] std::optional<std::chrono::system_clock::time_point> parse_http_date(
    std::string_view text);

[[nodiscard]] std::string format_http_date(std::chrono::system_clock::time_point time);

}  // namespace cobuild::registry
