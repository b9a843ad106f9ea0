#pragma once

/// Failures that the user can mend on this machine: where it is, and how. The parts that fail say
/// what they did to what; here is known what that is to the user.

#include <filesystem>

#include "cli/options.hpp"
#include "core/base/error.hpp"

namespace cobuild::cli {

/// `error` with the place and a remedy after it, when it says that a disk is full or a quota used
/// up and nobody has added them yet; else as it is. For what went to the store at `root`.
[[nodiscard]] Error explain_full_store(const Error& error, const std::filesystem::path& root);

/// The same for what went to the file or directory `destination` of an --output, "-" for standard
/// output.
[[nodiscard]] Error explain_full_destination(const Error& error,
                                             const std::filesystem::path& destination);

/// `error` with a remedy after it, when it says that files of the context or of the store may not
/// be read, or that devices may not be made; else as it is.
[[nodiscard]] Error explain_denied(const Error& error, const BuildOptions& options);

}  // namespace cobuild::cli
