#pragma once

/// Progress events as one line of JSON each: BuildKit's client.SolveStatus with its field names
/// (F7.2.13), for --progress rawjson and --trace. No newline at the end; bytes that are not UTF-8
/// are replaced, but for log data, which is base64.

#include <string>

#include "core/progress/events.hpp"

namespace cobuild::cli {

[[nodiscard]] std::string to_json_line(const progress::Vertex& vertex);
[[nodiscard]] std::string to_json_line(const progress::Status& status);
[[nodiscard]] std::string to_json_line(const progress::Log& log);
[[nodiscard]] std::string to_json_line(const progress::Warning& warning);

/// Standard base64 with padding.
[[nodiscard]] std::string to_base64(std::string_view bytes);

}  // namespace cobuild::cli
