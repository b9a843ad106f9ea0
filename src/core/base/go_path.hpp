#pragma once

/// Lexical work on slash-separated paths, with the results of Go's package path, which decide bytes in
/// LLB and cache keys. No file system is asked.

#include <string>
#include <string_view>

namespace cobuild::go_path {

/// The shortest equal path: "a//b/./../c/" is "a/c", "" is ".", "/.." is "/".
[[nodiscard]] std::string clean(std::string_view path);

/// clean(a + "/" + b), with empty parts left out; "" when both are empty.
[[nodiscard]] std::string join(std::string_view a, std::string_view b);

/// The last element, without trailing slashes: "/" for slashes only, "." for "".
[[nodiscard]] std::string base(std::string_view path);

/// All but the last element, cleaned: "." for a bare name, "/" for "/a".
[[nodiscard]] std::string dir(std::string_view path);

[[nodiscard]] bool is_absolute(std::string_view path) noexcept;

}  // namespace cobuild::go_path
