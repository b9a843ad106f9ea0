#pragma once

#include <exception>
#include <string>

namespace cobuild::cli {

struct ReportOptions {
  bool debug = false;  ///< Also say where in cobuild each part of the story was told.
};

/// What to print on stderr for a failure, newline included (F9.1.1, F9.1.2): the places in the
/// user's files, innermost first, then "error: " and the whole story on one line. Passwords in URLs
/// are blotted out.
[[nodiscard]] std::string render_error(std::exception_ptr failure, const ReportOptions& options);

}  // namespace cobuild::cli
