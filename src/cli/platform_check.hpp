#pragma once

/// Whether what was built is for the platforms that were asked for (F4.1.7). Pure.

#include <string>
#include <vector>

#include "oci/spec/platform.hpp"

namespace cobuild::cli {

/// What to warn of. `requested`: the option "platform", comma separated; empty: this host's.
/// `is_index`: the result is an index, even of one image.
[[nodiscard]] std::vector<std::string> platform_warnings(const std::string& requested,
                                                         const std::vector<oci::Platform>& built,
                                                         bool is_index);

}  // namespace cobuild::cli
