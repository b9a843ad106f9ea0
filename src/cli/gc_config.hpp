#pragma once

#include <filesystem>
#include <optional>

#include "core/store/gc_policy.hpp"

namespace cobuild::cli {

/// What `[worker.oci]` of a buildkitd.toml says of garbage collection (F5.5.11); the defaults
/// without a file. Keys in any case, as BuildKit takes them; other keys are ignored. Blocking.
/// \throws Error kInvalidInput naming file, line and key; kNotFound when the file is missing.
[[nodiscard]] store::GcConfig read_gc_config(const std::optional<std::filesystem::path>& file);

}  // namespace cobuild::cli
