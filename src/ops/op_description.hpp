#pragma once

/// What ops are, for people who ask why one of them ran (\see solve::OpDescription).

#include <string>

#include "core/llb/definition.hpp"
#include "core/solve/description.hpp"

namespace cobuild::ops {

/// Of an op with inputs: exec, file, merge, diff and the like. Values of variables and the bytes of
/// files are told by a short digest only. Pure.
[[nodiscard]] solve::OpDescription describe(const llb::Vertex& vertex);

/// "linux/arm64/v8".
[[nodiscard]] std::string platform_text(const pb::Platform& platform);

}  // namespace cobuild::ops
