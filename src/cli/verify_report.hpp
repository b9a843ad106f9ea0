#pragma once

/// What `cache verify` prints.

#include <string>

#include "core/store/verify.hpp"

namespace cobuild::cli {

/// A line for each thing that was damaged or belongs to nothing, and one that sums up.
[[nodiscard]] std::string render_verify_text(const store::VerifyReport& report);
/// The same as one JSON object on one line.
[[nodiscard]] std::string render_verify_json(const store::VerifyReport& report);

}  // namespace cobuild::cli
