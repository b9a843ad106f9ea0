#pragma once

#include <string>
#include <string_view>

namespace cobuild::cli {

/// Aligns tab-separated cells as Go's text/tabwriter does with tabs of 8 and a padding of 1: what
/// buildctl's tables are made with. A column is as wide as the widest cell in consecutive lines.
/// Text after a line's last tab belongs to no column.
[[nodiscard]] std::string align_tabs(std::string_view text);

}  // namespace cobuild::cli
