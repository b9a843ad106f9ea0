#pragma once

#include "cli/options.hpp"
#include "core/base/error.hpp"
#include "dockerfile/ignore_file.hpp"

namespace cobuild::cli {

/// `error` itself, unless it says that a path of the build context is missing: then the same with the
/// reason, as far as it can be seen: the line of the ignore file that excludes the path, or the name
/// that may have been meant. Looks into the context directory; never throws.
[[nodiscard]] Error explain_missing_source(const Error& error, const BuildOptions& options,
                                           const dockerfile::IgnoreFile& ignore);

}  // namespace cobuild::cli
