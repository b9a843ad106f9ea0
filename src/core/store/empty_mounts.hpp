#pragma once

/// Cache mounts that nothing is in.

#include <string>

#include "core/store/store.hpp"

namespace cobuild::store {

/// Removes the directory of the cache mount `id` when it is empty and nobody has it mounted, so that
/// the next who mounts it may fill it.
void drop_empty_cache_mount(Store& store, const std::string& id);

}  // namespace cobuild::store
