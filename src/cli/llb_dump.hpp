#pragma once

#include <google/protobuf/message.h>
#include <boost/json/object.hpp>

#include <string>

#include "core/llb/ops.pb.h"

namespace cobuild::cli {

/// The ops of a definition as `buildctl debug dump-llb` prints them (F7.1.15): one JSON object per
/// line, {"Op":…,"Digest":…,"OpMetadata":…}, with BuildKit's names.
/// \throws Error kInvalidInput when an op's bytes are none.
[[nodiscard]] std::string dump_llb_json(const pb::Definition& definition);

/// A message as Go's encoding/json writes BuildKit's structs: the names in the .proto, empty values left
/// out.
[[nodiscard]] boost::json::object to_go_json(const google::protobuf::Message& message);

/// The same ops as a graph in graphviz's language. \throws Error kInvalidInput as above.
[[nodiscard]] std::string dump_llb_dot(const pb::Definition& definition);

}  // namespace cobuild::cli
