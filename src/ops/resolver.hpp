#pragma once

/// From a vertex to the op that does its work: the one switch over op types.

#include <memory>

#include "core/solve/op.hpp"
#include "ops/git_source.hpp"
#include "ops/http_source.hpp"
#include "ops/images.hpp"
#include "ops/local_source.hpp"
#include "ops/services.hpp"

namespace cobuild::ops {

/// Sources that are elsewhere, but for images. Shared by all solves of a build.
struct RemoteSources {
  HttpFiles& http;
  GitRepositories& git;
};

class Resolver final : public solve::OpResolver {
 public:
  /// All of it must outlive the resolver and its ops.
  Resolver(const Services& services, Images& images, const LocalContexts& contexts,
           const RemoteSources& remote)
      : services_(services), images_(images), contexts_(contexts), remote_(remote) {}

  std::unique_ptr<solve::Op> resolve(std::shared_ptr<const llb::Vertex> vertex) override;

 private:
  std::unique_ptr<solve::Op> resolve_source(std::shared_ptr<const llb::Vertex> vertex);

  Services services_;
  Images& images_;
  const LocalContexts& contexts_;
  RemoteSources remote_;
};

}  // namespace cobuild::ops
