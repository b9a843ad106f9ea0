#pragma once

/// What one state has changed of another, as layers (F2.5.3, F2.5.4).

#include <filesystem>
#include <memory>

#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"
#include "ops/services.hpp"

namespace cobuild::ops {

/// An op for `vertex`, a diff. Where the upper state was made from the lower one, the result is the
/// layers that came on top, lazy as they are; else one layer, from comparing the two trees.
[[nodiscard]] std::unique_ptr<solve::Op> make_diff_op(const Services& services,
                                                      std::shared_ptr<const llb::Vertex> vertex);

/// Writes into `layer`, an empty directory, what must be laid over the tree `lower` to make it the
/// tree `upper`, in overlay's form. Files are the same if mode, owner, size, mtime, device and
/// capability are (and, where neither time has a fraction, content or link target). Hard links
/// within the difference are kept. Blocking.
void write_difference(const std::filesystem::path& lower, const std::filesystem::path& upper,
                      const std::filesystem::path& layer);

}  // namespace cobuild::ops
