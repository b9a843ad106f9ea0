#pragma once

#include <memory>

#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"
#include "ops/services.hpp"

namespace cobuild::ops {

/// An op for `vertex`, a merge: the layers of all inputs, one after the other (F2.5.2). Nothing is
/// copied or fetched, but for inputs that are local directories.
[[nodiscard]] std::unique_ptr<solve::Op> make_merge_op(const Services& services,
                                                       std::shared_ptr<const llb::Vertex> vertex);

/// An op for `vertex`, a passthrough: some of its inputs as its outputs (F2.5.5).
[[nodiscard]] std::unique_ptr<solve::Op> make_passthrough_op(
    std::shared_ptr<const llb::Vertex> vertex);

}  // namespace cobuild::ops
