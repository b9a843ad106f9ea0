#pragma once

/// Values of flags that are one record of CSV, as Go's encoding/csv reads it.

#include <string>
#include <string_view>
#include <vector>

namespace cobuild {

/// The fields of `line`, quotes removed; a field may hold newlines when it is quoted.
/// \throws Error kInvalidInput with Go's message: for a stray or open quote, and "EOF" for nothing.
[[nodiscard]] std::vector<std::string> go_csv_fields(std::string_view line, char separator = ',');

}  // namespace cobuild
