#pragma once

/// A place in text that the user wrote: which file, which lines, and the text to quote from.

#include <memory>
#include <string>

namespace cobuild {

struct SourceSpan {
  std::string filename;  ///< As the user knows it: "Dockerfile", "sub/Dockerfile".
  std::shared_ptr<const std::string>
      text;            ///< The whole file; may be null when it is not to be had.
  int first_line = 0;  ///< From 1.
  int last_line = 0;   ///< Inclusive.

  friend bool operator==(const SourceSpan&, const SourceSpan&) = default;
};

/// The excerpt users of BuildKit know (F9.1.2):
///
///     Dockerfile:12
///     --------------------
///       10 |     FROM scratch
///       12 | >>> RUN false
///     --------------------
///
/// with two lines of context on each side of a single line, one on each side of several. Ends with
/// a newline; only the "file:line" line when there is no text.
[[nodiscard]] std::string render_excerpt(const SourceSpan& span);

}  // namespace cobuild
