#pragma once

/// .dockerignore (F1.9).

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild::dockerfile {

struct IgnoreFile {
  std::string filename;               ///< As the user knows it: ".dockerignore"; for messages.
  std::vector<std::string> patterns;  ///< Cleaned, in order; fit for PatternSet and excludepatterns.
  std::vector<int> lines;             ///< For each pattern its line, from 1.
  std::vector<std::string> written;   ///< For each pattern what the user wrote, trimmed.
};

/// Comments (# in the first column), blanks, BOM, leading slashes (F1.9.3, F1.9.4). Any bytes are fine.
/// \throws Error kInvalidInput naming the file and line of a malformed pattern.
[[nodiscard]] IgnoreFile parse_ignore_file(std::string_view text, std::string filename);

/// Where a Dockerfile's own ignore file would be, relative to the dockerfile's directory:
/// "sub/Dockerfile.dockerignore". It goes before ".dockerignore" of the context (F1.9.1).
[[nodiscard]] std::string ignore_filename_for(std::string_view dockerfile);

/// Why a COPY source may be missing, as a sentence to append to the error: which line of the ignore
/// file excludes it, else which of `siblings` (names in the directory where it was looked for) the
/// user may have meant. Empty when there is nothing to say. `path` is relative to the context.
[[nodiscard]] std::string explain_missing_source(std::string_view path, const IgnoreFile& ignore,
                                                 std::span<const std::string> siblings);

}  // namespace cobuild::dockerfile
