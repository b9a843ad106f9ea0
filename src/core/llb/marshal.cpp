#include "core/llb/marshal.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>

#include "core/llb/ops.pb.h"

namespace cobuild::llb {
namespace {

/// Go writes the members of a oneof after all others, and BuildKit's digests are of those bytes. In
/// pb::Op the oneof has numbers between others, so that what follows it here goes before it there.
void move_oneof_last(const pb::Op& op, std::string& bytes) {
  pb::Op before;
  *before.mutable_inputs() = op.inputs();
  pb::Op after;
  if (op.has_platform()) *after.mutable_platform() = op.platform();
  if (op.has_constraints()) *after.mutable_constraints() = op.constraints();
  std::string const tail = after.SerializeAsString();
  auto const oneof = bytes.begin() + static_cast<std::ptrdiff_t>(before.ByteSizeLong());
  if (!bytes.ends_with(tail)) return;  // Fields of a newer version come last; their order is unknown.
  std::rotate(oneof, bytes.end() - static_cast<std::ptrdiff_t>(tail.size()), bytes.end());
}

}  // namespace

std::string marshal(const google::protobuf::MessageLite& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&out);
  }
  if (message.GetTypeName() == "pb.Op") move_oneof_last(static_cast<const pb::Op&>(message), bytes);
  return bytes;
}

VertexDigest digest_of(const google::protobuf::MessageLite& message) {
  return VertexDigest(Digest::of(std::string_view(marshal(message))));
}

}  // namespace cobuild::llb
