#pragma once

#include <google/protobuf/message_lite.h>

#include <string>

#include "core/base/digest.hpp"

namespace cobuild::llb {

/// The message's bytes with map fields sorted: equal messages give equal bytes, and for LLB's messages
/// they are the bytes that BuildKit's Go code writes (F2.1.4).
[[nodiscard]] std::string marshal(const google::protobuf::MessageLite& message);

/// The digest of those bytes: what edges and metadata refer to.
[[nodiscard]] VertexDigest digest_of(const google::protobuf::MessageLite& message);

}  // namespace cobuild::llb
