#pragma once

#include <memory>

#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"
#include "ops/git_repositories.hpp"

namespace cobuild::ops {

/// An op for `vertex`, a source of the scheme git: a layer with the files of a commit, which is its
/// key. `repositories` outlives the op. \throws Error kInvalidInput, kUnsupported for what it asks for.
[[nodiscard]] std::unique_ptr<solve::Op> make_git_source(GitRepositories& repositories,
                                                         std::shared_ptr<const llb::Vertex> vertex);

}  // namespace cobuild::ops
