#pragma once

/// A whole Dockerfile: what parse() makes and the conversion reads.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/source_span.hpp"
#include "dockerfile/frontend.hpp"
#include "dockerfile/instruction.hpp"

namespace cobuild::dockerfile {

struct ParsedFile {
  std::shared_ptr<const std::string> text;
  std::string filename;
  char escape = '\\';
  std::optional<std::string> check;  ///< `# check=`.
  std::vector<Instruction> global_args;  ///< ARG before the first FROM.
  std::vector<Stage> stages;
  std::vector<Finding> findings;

  [[nodiscard]] SourceSpan span(LineRange lines) const {
    return {.filename = filename, .text = text, .first_line = lines.first, .last_line = lines.last};
  }
};

}  // namespace cobuild::dockerfile
