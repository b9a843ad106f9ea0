#pragma once

/// Contexts with names of their own, which stand for a base image, a stage, or the source of a COPY
/// (F1.10.12 to F1.10.19).

#include <optional>
#include <string>
#include <vector>

#include "dockerfile/conversion.hpp"

namespace cobuild::dockerfile {

/// One option context:NAME.
struct NamedContext {
  std::string name;   ///< "alpine", as users say it.
  std::string label;  ///< The option's name: with "::linux/amd64" if it is for one platform.
  std::string spec;   ///< "docker-image://…", "local:…", …
};

/// The context that stands for `name`, an image or a stage; one for the platform comes first. nullopt
/// when there is none. \param platform null: this machine's.
[[nodiscard]] std::optional<NamedContext> find_named_context(const Conversion& conversion,
                                                             const std::string& name,
                                                             const oci::Platform* platform);

/// What a context is.
struct LoadedContext {
  Node* tree = nullptr;               ///< Null: scratch.
  std::optional<std::string> config;  ///< Of an image.
};

/// Makes the nodes of `context`, for `stage`. nullopt when something has to be looked up first, which
/// then is in `missing`. \param platform null: none was asked for.
/// \throws Error kInvalidInput with BuildKit's messages (F1.10.19).
[[nodiscard]] std::optional<LoadedContext> load_named_context(Conversion& conversion,
                                                              const NamedContext& context,
                                                              const StageState& stage,
                                                              const oci::Platform* platform,
                                                              const ResolvedImages& images,
                                                              std::vector<ImageRequest>& missing);

/// The stage of this file that the context is ("target:build"); empty for all other contexts.
[[nodiscard]] std::string target_stage_of(const NamedContext& context);

/// Tells the local contexts which of their paths are used, once all stages are made (F1.10.15).
void finish_local_contexts(Conversion& conversion);

}  // namespace cobuild::dockerfile
