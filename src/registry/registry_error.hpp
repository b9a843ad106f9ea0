#pragma once

/// What a registry's refusal says.

#include <string>
#include <string_view>

#include "core/base/error.hpp"
#include "registry/request.hpp"

namespace cobuild::registry {

/// Error bodies are read up to here.
inline constexpr std::size_t kErrorBodyBytesMax = 64 * 1024;

/// The server's own words in an error body: "CODE: message" for each entry of "errors", the message
/// of a token server, code and message of an object store's XML, or the start of a plain text. ""
/// when there are none. Printable, on one line.
[[nodiscard]] std::string registry_message(std::string_view body);

/// The code of an object store's error ("NoSuchKey", "BlobNotFound", "already_exists"); "" when the
/// body has none.
[[nodiscard]] std::string service_error_code(std::string_view body);

/// "404 Not Found"; the bare number when it has no name.
[[nodiscard]] std::string status_text(int status);

/// "unexpected status from GET request to https://…: 500 Internal Server Error: CODE: message", of
/// the kind that the status stands for.
[[nodiscard]] Error status_error(Method method, const Url& url, int status, std::string_view body);

}  // namespace cobuild::registry
