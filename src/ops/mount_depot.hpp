#pragma once

/// Where the files of cache mounts are kept between machines: as packs of chunks in an object store
/// (\see oci/tree_index.hpp).
///
/// Objects of one cache mount, whose id is hashed, since it may be any text:
///
///     cobuild-mounts/1/ID/index/KEY:TIME-DIGEST     never changes; the newest counts
///     cobuild-mounts/1/ID/pack/DIGEST               shared by the indexes of all keys
///
/// In KEY all but letters, digits and '-' is written as _XX, so that a prefix of a key is a prefix of
/// the name.

#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"
#include "core/solve/op.hpp"
#include "core/store/store.hpp"
#include "oci/object_store.hpp"
#include "oci/tree_index.hpp"

namespace cobuild::ops {

/// A place that cache mounts come from or go to.
struct MountDepot {
  std::shared_ptr<oci::ObjectStore> objects;
  std::string name;  ///< For people: "local:DIR".
  std::string key;   ///< What saved files are found by; may be empty.
  /// Restoring only: tried in order when nothing has a key that is or begins with `key`.
  std::vector<std::string> restore_keys;
  std::uint64_t bytes_max = 0;  ///< A mount with more than that, in its files, does not travel.
  std::chrono::seconds timeout{0};  ///< For one mount that is restored, or for all that are saved.
};

/// "cobuild-mounts/1/ID/".
[[nodiscard]] std::string mount_prefix(std::string_view id);
[[nodiscard]] std::string pack_prefix(const std::string& prefix);
[[nodiscard]] std::string pack_name(const std::string& prefix, const Digest& digest);
[[nodiscard]] std::string index_name(const std::string& prefix, std::string_view key, Timestamp time,
                                     const Digest& digest);

/// What a key's indexes begin with, and those of all keys that begin with it.
[[nodiscard]] std::string exact_index_prefix(const std::string& prefix, std::string_view key);
[[nodiscard]] std::string index_prefix(const std::string& prefix, std::string_view key_prefix);

/// An index that was fetched and checked against the digest in its name. Its head has been read.
struct FetchedIndex {
  UniqueFd file;
  std::unique_ptr<oci::TreeIndexReader> reader;
};

/// Uses a file in `scratch`, which has no name afterwards. Cancellable.
/// \throws Error kCorrupt, kNotFound, and what the store throws.
Task<FetchedIndex> fetch_index(asio::thread_pool& pool, oci::ObjectStore& objects,
                               oci::ObjectInfo index, std::filesystem::path scratch);

/// A new file in `directory`, open for reading and writing, without a name.
[[nodiscard]] UniqueFd nameless_file(const std::filesystem::path& directory);

/// The files of the cache mount `id`, as the beginning of a new one; nullopt when `depot` has none.
/// `step` is told how far it is. Cancellable. \throws Error.
Task<std::optional<store::NewLayer>> restore_mount(asio::thread_pool& pool, store::Store& store,
                                                   const MountDepot& depot, std::string id,
                                                   solve::StepSink& step);

/// A cache mount of this store.
struct SavedMount {
  std::string id;        ///< What it is called wherever it is.
  std::string store_id;  ///< Of its directory in the store.
  std::filesystem::path directory;
};

/// Sends what `depot` does not have of a cache mount that nobody has mounted, under its lock. Does
/// nothing when all is there. `step` is told what is done. Cancellable.
/// \throws Error kUnavailable when somebody has it mounted.
Task<void> save_mount(asio::thread_pool& pool, store::Store& store, const MountDepot& depot,
                      SavedMount mount, solve::StepSink& step);

/// Where nobody else does it, removes what was saved and will not be restored any more: indexes but
/// the newest of each of the newest keys, and packs that are in none of those. What is less than an hour
/// old stays. `scratch` is for files meanwhile. Cancellable. \throws Error.
Task<void> prune_mount(asio::thread_pool& pool, const MountDepot& depot, std::string prefix,
                       std::filesystem::path scratch);

}  // namespace cobuild::ops
