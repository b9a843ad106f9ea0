#pragma once

/// YAML as the JSON that it stands for. Pure.

#include <boost/json/value.hpp>

#include <cstddef>
#include <string_view>

namespace cobuild::ops {

/// How deep lists and mappings may be nested.
inline constexpr std::size_t kYamlDepth_max = 64;

/// The only document in `text`; null for none. Plain scalars are null, booleans and whole numbers
/// where they look like that, else texts. There are no anchors, and no keys but texts.
/// \throws Error kInvalidInput with the line.
[[nodiscard]] boost::json::value parse_yaml(std::string_view text);

}  // namespace cobuild::ops
