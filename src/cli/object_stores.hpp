#pragma once

/// From attributes of a cache to the place that keeps objects.

#include <memory>
#include <string>

#include "cli/options.hpp"
#include "cli/workspace.hpp"
#include "oci/object_store.hpp"

namespace cobuild::cli {

/// What is wrong with it, found before anything is done. `flag` is for the message.
/// \throws Error kInvalidInput, kUnsupported.
void check_object_store(const CacheOptions& place, const std::string& flag);

/// Connects to nothing yet. `place` has passed check_object_store(); `workspace` must outlive the
/// result.
[[nodiscard]] std::shared_ptr<oci::ObjectStore> open_object_store(const CacheOptions& place,
                                                                  Workspace& workspace);

/// "local:DIR", "registry:NAME", for people.
[[nodiscard]] std::string object_store_name(const CacheOptions& place);

}  // namespace cobuild::cli
