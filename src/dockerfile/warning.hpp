#pragma once

#include <compare>
#include <string>
#include <vector>

namespace cobuild::dockerfile {

/// Lines of the Dockerfile, from 1, inclusive.
struct LineRange {
  int first = 0;
  int last = 0;
  friend auto operator<=>(const LineRange&, const LineRange&) = default;
};

/// A finding of the linter (F1.12). Not fatal, unless `# check=error=true`.
struct Warning {
  std::string rule;         ///< "UndefinedVar".
  std::string message;      ///< "Usage of undefined variable '$x'".
  std::string summary;      ///< "UndefinedVar: Usage of … (line 3)": what progress shows.
  std::string description;  ///< Of the rule.
  std::string url;          ///< May be empty.
  std::vector<LineRange> ranges;
};

}  // namespace cobuild::dockerfile
