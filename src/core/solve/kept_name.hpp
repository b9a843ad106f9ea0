#pragma once

/// Names of steps without what is nobody's business.

#include <algorithm>
#include <string>
#include <string_view>

#include "core/base/git_url.hpp"

namespace cobuild::solve {

/// The name of a step as it may be kept and shown: without users and passwords of the addresses in it.
[[nodiscard]] inline std::string kept_name(std::string_view name) {
  std::string kept;
  for (std::size_t begin = 0; begin < name.size();) {
    std::size_t const end = std::min(name.find(' ', begin), name.size() - 1) + 1;
    kept += redact_credentials(name.substr(begin, end - begin));
    begin = end;
  }
  return kept;
}

}  // namespace cobuild::solve
