#pragma once

/// The tables of store.db. Private to core/store.

#include "core/store/database.hpp"

namespace cobuild::store {

/// What this version of cobuild writes into user_version.
inline constexpr int kSchemaVersion = 3;

/// Makes the tables of a new store, and brings those of an older one up to date. Several processes
/// may try at once.
/// \throws Error kUnsupported for a store that a newer version made.
void prepare_schema(Database& database);

}  // namespace cobuild::store
