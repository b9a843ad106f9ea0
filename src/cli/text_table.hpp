#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cobuild::cli {

/// Aligns tab-separated cells as Go's text/tabwriter does with tabs of 8 and a padding of 1: what
/// buildctl's tables are made with. A column is as wide as the widest cell in consecutive lines.
/// Text after a line's last tab belongs to no column.
[[nodiscard]] std::string align_tabs(std::string_view text);

/// Likewise with blanks: columns are as wide as their widest cell and `padding` more.
[[nodiscard]] std::string align_blanks(std::string_view text, std::size_t padding);

/// Text that users may have written, as one cell: valid UTF-8 without control characters.
[[nodiscard]] std::string one_line(std::string_view text);

/// `text` on one line, without what a terminal would obey; "..." stands for what is beyond
/// `characters_max`.
[[nodiscard]] std::string printable(std::string_view text, std::size_t characters_max);

}  // namespace cobuild::cli
