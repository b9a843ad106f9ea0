#pragma once

#include <string>
#include <string_view>

namespace cobuild::oci {

/// Standard base64 with padding.
[[nodiscard]] std::string to_base64(std::string_view bytes);

}  // namespace cobuild::oci
