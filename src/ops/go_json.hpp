#pragma once

/// The bytes of Go's encoding/json, for digests that are defined by them.

#include <google/protobuf/message.h>

#include <string>
#include <string_view>

namespace cobuild::ops {

/// Appends `text` as a JSON string as Go does: with <, > and & as \u003c and so on, U+2028 and
/// U+2029 escaped, and bytes that are not UTF-8 replaced.
void append_go_json_string(std::string& out, std::string_view text);

/// Appends `message` as Go marshals the generated struct: fields in the order of declaration under
/// their .proto names, zero values left out, enums and 64-bit integers as numbers, bytes in base64,
/// maps sorted by key. pb::UserOpt has a form of its own, as BuildKit gave it one.
void append_go_json(std::string& out, const google::protobuf::Message& message);

}  // namespace cobuild::ops
