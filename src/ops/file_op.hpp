#pragma once

/// COPY, ADD, WORKDIR and their like: vertices of type file (F2.4).

#include <memory>

#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"
#include "ops/services.hpp"

namespace cobuild::ops {

/// An op for `vertex`, which must be a file op. `services` is copied; what it refers to must
/// outlive the op. Each output is its base's layers and one more, in which all actions on the way
/// to it took place. Sources that are a LocalTree are read in place.
[[nodiscard]] std::unique_ptr<solve::Op> make_file_op(const Services& services,
                                                      std::shared_ptr<const llb::Vertex> vertex);

}  // namespace cobuild::ops
