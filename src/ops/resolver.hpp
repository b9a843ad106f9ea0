#pragma once

/// From a vertex to the op that does its work: the one switch over op types.

#include <memory>

#include "core/solve/op.hpp"
#include "ops/images.hpp"
#include "ops/local_source.hpp"
#include "ops/services.hpp"

namespace cobuild::ops {

class Resolver final : public solve::OpResolver {
 public:
  /// All of it must outlive the resolver and its ops.
  Resolver(const Services& services, Images& images, const LocalContexts& contexts)
      : services_(services), images_(images), contexts_(contexts) {}

  std::unique_ptr<solve::Op> resolve(std::shared_ptr<const llb::Vertex> vertex) override;

 private:
  std::unique_ptr<solve::Op> resolve_source(std::shared_ptr<const llb::Vertex> vertex);

  Services services_;
  Images& images_;
  const LocalContexts& contexts_;
};

}  // namespace cobuild::ops
