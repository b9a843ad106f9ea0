#pragma once

/// Places for caches that are no registries and no directories (F5.4.4 to F5.4.6): what the attributes of
/// --cache-to and --cache-from say of them, and how they are opened.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cli/options.hpp"
#include "core/async/task.hpp"
#include "oci/object_store.hpp"
#include "ops/object_cache.hpp"
#include "registry/azblob_store.hpp"
#include "registry/github_cache.hpp"
#include "registry/options.hpp"
#include "registry/s3_store.hpp"

namespace cobuild::cli {

struct ObjectPlace {
  std::string name;      ///< As it is shown: "s3:bucket/prefix". Without secrets.
  std::string identity;  ///< Where its blobs are: the same for all caches that share them.
  std::variant<registry::S3Settings, registry::AzblobSettings, registry::GithubSettings> settings;
  std::string blobs_prefix;                 ///< Before the digest of a layer.
  std::vector<ops::ConfigObject> read;      ///< Configs that an import looks at.
  std::vector<std::string> written;         ///< Configs that an export makes or replaces.
  std::size_t parallel = 4;                 ///< Layers on their way at once.
  std::optional<std::chrono::nanoseconds> budget;  ///< An export ends then, done or not.
};

/// Whether caches of this type are kept as objects.
[[nodiscard]] bool is_object_type(std::string_view type) noexcept;

/// A variable of the environment.
using FindVariable = std::function<std::optional<std::string>(const std::string& name)>;
/// Of this process.
[[nodiscard]] std::optional<std::string> process_variable(const std::string& name);

/// Reads attributes of such a type; what they leave out comes from `variable`, which is asked at once.
/// Keys that the type does not have are passed over. \throws Error kInvalidInput in BuildKit's words.
[[nodiscard]] ObjectPlace parse_object_place(const CacheOptions& cache,
                                             const FindVariable& variable = process_variable);

/// Connects to nothing yet. `options` are for its connections; `pool` outlives the store.
[[nodiscard]] std::unique_ptr<oci::ObjectStore> open_object_store(const ObjectPlace& place,
                                                                  asio::any_io_executor executor,
                                                                  asio::thread_pool& pool,
                                                                  registry::Options options);

/// Stores a config of a cache in `store`, opened from such a place, as its type has them. `store` outlives
/// the call. \throws Error as oci::ObjectStore::write.
Task<void> write_config(oci::ObjectStore& store, std::string name, std::string text);

}  // namespace cobuild::cli
