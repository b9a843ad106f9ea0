#pragma once

/// Objects in a container of Azure Blob Storage (F5.4.6).

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <cstddef>
#include <memory>
#include <string>

#include "core/base/secret.hpp"
#include "oci/object_store.hpp"
#include "registry/options.hpp"

namespace cobuild::registry {

struct AzblobSettings {
  Secret account_url;  ///< May end in a shared access signature.
  std::string account_name;
  std::string container;
  std::string prefix;     ///< Before each name; with its slash.
  Secret account_key;     ///< Base64; empty: \see AzureTokens.
  std::size_t parallel = 4;  ///< Blocks in memory.
};

/// Connects to nothing yet. The container is made before the first write, when it is not there.
/// `pool` outlives the store. `options` need no environment. \throws Error kInvalidInput when the URL is
/// none.
[[nodiscard]] std::unique_ptr<oci::ObjectStore> make_azblob_store(asio::any_io_executor executor,
                                                                  asio::thread_pool& pool,
                                                                  Options options,
                                                                  AzblobSettings settings);

}  // namespace cobuild::registry
