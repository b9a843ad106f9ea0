#include "ops/resolver.hpp"

#include <string_view>
#include <utility>

#include "core/base/error.hpp"
#include "ops/diff_op.hpp"
#include "ops/exec_op.hpp"
#include "ops/file_op.hpp"
#include "ops/merge_op.hpp"

namespace cobuild::ops {

std::unique_ptr<solve::Op> Resolver::resolve(std::shared_ptr<const llb::Vertex> vertex) {
  switch (vertex->op.op_case()) {
    case pb::Op::kSource: return resolve_source(std::move(vertex));
    case pb::Op::kExec: return make_exec_op(services_, std::move(vertex));
    case pb::Op::kFile: return make_file_op(services_, std::move(vertex));
    case pb::Op::kMerge: return make_merge_op(services_, std::move(vertex));
    case pb::Op::kDiff: return make_diff_op(services_, std::move(vertex));
    case pb::Op::kPassthrough: return make_passthrough_op(std::move(vertex));
    case pb::Op::kBuild:
      throw Error(ErrorKind::kUnsupported, "LLB with nested builds (BuildOp) is not supported yet");
    case pb::Op::OP_NOT_SET: break;
  }
  throw Error(ErrorKind::kUnsupported, "could not resolve an op of an unknown type");
}

std::unique_ptr<solve::Op> Resolver::resolve_source(std::shared_ptr<const llb::Vertex> vertex) {
  std::string const identifier = vertex->op.source().identifier();
  std::size_t const end = identifier.find("://");
  if (end == std::string::npos) {
    throw Error(ErrorKind::kInvalidInput, "failed to parse " + identifier);
  }
  std::string_view const scheme = std::string_view(identifier).substr(0, end);
  if (scheme == "local") return make_local_source(services_, contexts_, std::move(vertex));
  if (scheme == "docker-image" || scheme == "oci-layout") {
    return make_image_source(services_.store, images_, std::move(vertex));
  }
  if (scheme == "http" || scheme == "https") return make_http_source(remote_.http, std::move(vertex));
  if (scheme == "git") return make_git_source(remote_.git, std::move(vertex));
  for (std::string_view const later : {"docker-image+blob", "oci-layout+blob"}) {
    if (scheme == later) {
      throw Error(ErrorKind::kUnsupported,
                  "sources of the scheme " + std::string(scheme) + ":// are not supported yet");
    }
  }
  throw Error(ErrorKind::kInvalidInput, "unknown scheme " + std::string(scheme));
}

}  // namespace cobuild::ops
