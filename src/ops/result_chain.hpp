#pragma once

/// Which edges of a graph an image is made of. Pure.

#include <vector>

#include "core/llb/definition.hpp"

namespace cobuild::ops {

/// `target`, and the edges below it whose layers are in its result: what a step ran on, what files
/// were copied onto, all that was merged; but not what was only read. Each vertex output once. What
/// lies below a diff is left out: not all of it is in the result.
[[nodiscard]] std::vector<llb::Edge> result_chain(const llb::Edge& target);

}  // namespace cobuild::ops
