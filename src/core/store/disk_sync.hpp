#pragma once

/// Waiting for the disk in a way that can be given up. Private to core/store.

#include <boost/asio/thread_pool.hpp>

#include <filesystem>
#include <vector>

#include "core/async/task.hpp"

namespace cobuild::store {

/// Waits until all that was written to the file systems of `directories` is on disk (syncfs).
///
/// Nothing can end that call, not even the end of its process, and it may take a minute. So a child
/// process makes it: cancelling the wait leaves the child to itself, with no descriptor of ours but
/// those of the directories. \throws Error when a directory cannot be opened or synced.
Task<void> sync_file_systems(asio::thread_pool& pool,
                             std::vector<std::filesystem::path> directories);

}  // namespace cobuild::store
