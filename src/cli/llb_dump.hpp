#pragma once

#include <string>

#include "core/llb/ops.pb.h"

namespace cobuild::cli {

/// The ops of a definition as `buildctl debug dump-llb` prints them (F7.1.15): one JSON object per
/// line, {"Op":…,"Digest":…,"OpMetadata":…}, with BuildKit's names.
/// \throws Error kInvalidInput when an op's bytes are none.
[[nodiscard]] std::string dump_llb_json(const pb::Definition& definition);

/// The same ops as a graph in graphviz's language. \throws Error kInvalidInput as above.
[[nodiscard]] std::string dump_llb_dot(const pb::Definition& definition);

}  // namespace cobuild::cli
