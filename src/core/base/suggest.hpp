#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cobuild {

/// The one of `options` that the user may have meant by `word` (F9.1.11): fewer than three edits
/// away, a letter's case being one, the closest and then the first. nullopt when there is none, or
/// when `word` is one of them.
[[nodiscard]] std::optional<std::string> closest_match(std::string_view word,
                                                       std::span<const std::string> options);

/// " (did you mean x?)", or nothing: to be appended to an error.
[[nodiscard]] std::string did_you_mean(std::string_view word, std::span<const std::string> options);

}  // namespace cobuild
