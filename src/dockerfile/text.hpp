#pragma once

/// Small work on text that several parts of the frontend do. ASCII letters only: keywords, stage names
/// and flags have no others.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cobuild::dockerfile {

[[nodiscard]] std::string to_lower(std::string_view text);
[[nodiscard]] std::string to_upper(std::string_view text);
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;

/// The parts between separators; one, maybe empty, when there is none.
[[nodiscard]] std::vector<std::string> split(std::string_view text, char separator);
[[nodiscard]] std::string join(const std::vector<std::string>& parts, std::string_view separator);

/// Before and after the first separator; nullopt for the second part when there is none.
[[nodiscard]] std::pair<std::string_view, std::optional<std::string_view>> cut(std::string_view text,
                                                                              char separator);

/// Splits at the first run of blanks, tabs and the like: the head and the rest.
[[nodiscard]] std::pair<std::string_view, std::optional<std::string_view>> cut_blanks(
    std::string_view text);

/// Splits at every such run. Blanks at an end make an empty part there.
[[nodiscard]] std::vector<std::string> split_blanks(std::string_view text);

/// 1, t, T, TRUE, true, True and their opposites; nullopt for anything else.
[[nodiscard]] std::optional<bool> try_parse_bool(std::string_view text);

/// A number in decimal with an optional sign; nullopt for anything else.
[[nodiscard]] std::optional<long long> try_parse_integer(std::string_view text);

/// `["a" "b"]` and `[a b]`: lists as BuildKit's history prints them.
[[nodiscard]] std::string quoted_list(const std::vector<std::string>& items);
[[nodiscard]] std::string plain_list(const std::vector<std::string>& items);

}  // namespace cobuild::dockerfile
