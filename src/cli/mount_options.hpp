#pragma once

/// What --cache-mounts-to and --cache-mounts-from say, apart from where the place is. Pure.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/options.hpp"

namespace cobuild::cli {

struct MountOptions {
  std::string key;
  std::vector<std::string> restore_keys;  ///< Of restore-keys, which has a ';' between them.
  std::uint64_t bytes_max = std::uint64_t{4} << 30;
  std::chrono::seconds timeout{300};
};

/// Attributes that are about something else are passed over.
/// \throws Error kInvalidInput, saying what would be right.
[[nodiscard]] MountOptions parse_mount_options(const CacheOptions& place);

}  // namespace cobuild::cli
