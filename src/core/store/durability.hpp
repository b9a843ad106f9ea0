#pragma once

/// What a power cut may take, and how it is noticed. Private to core/store.
///
/// Files of layers and blobs are not synced one by one: a build would wait for the disk at each
/// step. Within one boot of the machine that is safe, since all processes see one page cache,
/// however they die. So a row says that it is `unsynced`, and the store remembers the boot in which
/// such rows were written. settle() waits for the disk once, at the end of a build, for all files
/// at the same time (syncfs), and only then clears the mark. A store opened in another boot forgets
/// what is still marked: those files may be half there. The database itself may lose its last
/// commits in a power cut, but never an earlier one than it keeps, so the mark cannot be cleared
/// while the row that it speaks of is lost, or the other way round.
///
/// Removing goes the other way round: the rows' removal is made durable before the files go.

#include <filesystem>

#include "core/store/database.hpp"

namespace cobuild::store {

/// Forgets unsynced rows of an earlier boot. `boot`: which this is; cheap when it is the same.
void forget_unsynced(Database& database, const std::filesystem::path& root, std::string_view boot);

/// The kernel's name for the time since the machine started.
[[nodiscard]] std::string boot_id();

/// Waits until all files of the store are on disk, then clears the marks of those that were there
/// before. Blocking, for as long as the disk needs; at once when there are no marks.
void settle(Database& database, const std::filesystem::path& root);

/// Forgets layers, and the results that need them, within the caller's transaction.
void forget_layer(Database& database, std::int64_t layer);

}  // namespace cobuild::store
