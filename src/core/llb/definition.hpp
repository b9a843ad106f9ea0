#pragma once

/// From the wire to a graph: a pb::Definition becomes vertices joined by edges.

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/source_span.hpp"
#include "core/llb/ops.pb.h"

namespace cobuild::llb {

class Vertex;

/// One output of one vertex. A null vertex is scratch: the empty root.
struct Edge {
  std::shared_ptr<const Vertex> vertex;
  int output = 0;
};

/// A node of the graph. Immutable once loaded; owns its inputs.
class Vertex {
 public:
  Vertex(VertexDigest digest, pb::Op op, pb::OpMetadata metadata, std::vector<Edge> inputs);
  ~Vertex();

  VertexDigest digest;       ///< Identity: two vertices with one digest are the same work.
  pb::Op op;                 ///< With its platform filled in and normalised.
  pb::OpMetadata metadata;   ///< Does not enter the digest.
  std::vector<Edge> inputs;  ///< In the order of op.inputs.
  std::string name;          ///< For people: the custom name, else F2.1.12's default.
  /// Where the user wrote it, or the first step that needs it; may be empty.
  std::vector<SourceSpan> spans;
};

struct LoadOptions {
  pb::Platform default_platform;  ///< For ops that name none (F2.1.6).
};

/// What a definition asks for.
struct Graph {
  Edge result;                                          ///< The terminal op's input.
  std::vector<std::shared_ptr<const Vertex>> vertices;  ///< Inputs before their users.
};

/// Reads and checks a definition (F2.1.2, F2.1.3, F2.1.10, F2.1.11). The bytes are foreign: sizes,
/// indexes and cycles are checked, and depth does not consume stack.
/// \throws Error kInvalidInput with BuildKit's message.
[[nodiscard]] Graph load(const pb::Definition& definition, const LoadOptions& options);

/// Parses a serialized pb::Definition. \throws Error kInvalidInput if `bytes` are not one.
[[nodiscard]] pb::Definition parse_definition(std::string_view bytes);

/// Checks one op's own fields (F2.1.11). \throws Error kInvalidInput.
void validate(const pb::Op& op);

/// arm64/v8 is arm64, amd64/v1 is amd64, x86_64 is amd64, and so on (F2.1.6).
[[nodiscard]] pb::Platform normalize(pb::Platform platform);

/// The platform this machine runs natively.
[[nodiscard]] pb::Platform host_platform();

}  // namespace cobuild::llb
