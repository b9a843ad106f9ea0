#pragma once

#include <string>
#include <vector>

#include "cli/options.hpp"

namespace cobuild::cli {

/// The escape sequences that colour a row of the terminal display; empty: no colour (F7.2.10).
struct ProgressColors {
  std::string run;
  std::string cancel;
  std::string warning;
  std::string error;
  std::string faint;  ///< For lines of output.
  std::string reset;
};

/// From $NO_COLOR and $BUILDKIT_COLORS ("run=green:error=255,0,0"). What cannot be understood is
/// said in `complaints`, one line each, and otherwise left out.
[[nodiscard]] ProgressColors progress_colors(const Environment& environment,
                                             std::vector<std::string>& complaints);

}  // namespace cobuild::cli
