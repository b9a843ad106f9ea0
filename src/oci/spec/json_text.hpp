#pragma once

/// JSON as Go's encoding/json spells it, so that what we write has the digests that BuildKit's has:
/// '<', '>', '&', U+2028 and U+2029 are escaped, members stay in the order in which they were
/// added.

#include <boost/json/fwd.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace cobuild::oci {

inline constexpr std::size_t kJsonDepthMax = 64;

/// `what` names the text in the error ("manifest"). \throws Error kCorrupt with the reason.
[[nodiscard]] boost::json::value parse_json(std::string_view text, std::string_view what);

/// Adds `text`, in quotes, to what is written without a value of its own. Bytes that are not UTF-8
/// become U+FFFD.
void append_json_string(std::string_view text, std::string& out);

[[nodiscard]] std::string to_compact_text(const boost::json::value& value);
/// Two blanks a level, no newline at the end; empty lists and objects as [] and {}.
[[nodiscard]] std::string to_indented_text(const boost::json::value& value);

}  // namespace cobuild::oci
