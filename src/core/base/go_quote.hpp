#pragma once

#include <string>
#include <string_view>

namespace cobuild {

/// `text` in double quotes, escaped as Go's %q does, which is how BuildKit's messages quote commands:
/// \" \\ \n \t …, other control bytes and invalid UTF-8 as \xNN, the rest as it is.
[[nodiscard]] std::string go_quote(std::string_view text);

}  // namespace cobuild
