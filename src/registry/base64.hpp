#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cobuild::registry {

/// Standard alphabet, padded.
[[nodiscard]] std::string base64_encode(std::string_view bytes);
/// Standard alphabet; padding may be missing. nullopt when malformed.
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text);

}  // namespace cobuild::registry
