#pragma once

#include <memory>

#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"
#include "ops/http_files.hpp"

namespace cobuild::ops {

/// An op for `vertex`, a source of the scheme http or https: a layer with one file. With a checksum its
/// key is known without asking anybody; else the file is fetched for it, or found to be here.
/// `files` outlives the op. \throws Error kInvalidInput for attributes that mean nothing.
[[nodiscard]] std::unique_ptr<solve::Op> make_http_source(HttpFiles& files,
                                                          std::shared_ptr<const llb::Vertex> vertex);

}  // namespace cobuild::ops
