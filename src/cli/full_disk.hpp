#pragma once

/// Failures for want of room: which disk it is, and what to do about it.

#include <filesystem>

#include "core/base/error.hpp"

namespace cobuild::cli {

/// `error` with the place and a remedy after it, when it says that a disk is full or a quota used
/// up and nobody has added them yet; else as it is. For what went to the store at `root`.
[[nodiscard]] Error explain_full_store(const Error& error, const std::filesystem::path& root);

/// The same for what went to the file or directory `destination` of an --output, "-" for standard
/// output.
[[nodiscard]] Error explain_full_destination(const Error& error,
                                             const std::filesystem::path& destination);

}  // namespace cobuild::cli
