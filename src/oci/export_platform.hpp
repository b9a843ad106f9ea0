#pragma once

/// Results of several platforms side by side: each in a directory of its own (F4.4.3).

#include <string>
#include <string_view>

namespace cobuild::oci {

/// "linux_arm_v7" for "linux/arm/v7".
[[nodiscard]] std::string platform_directory(std::string_view platform);

/// The target of a symlink that moves below the directory `prefix` together with what it points to:
/// absolute ones get it in front. An empty prefix changes nothing.
[[nodiscard]] std::string link_below(std::string_view prefix, std::string target);

}  // namespace cobuild::oci
