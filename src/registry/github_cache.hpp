#pragma once

/// Objects in the cache service of GitHub Actions (F5.4.4): its second protocol (Twirp, as JSON), and the
/// first one, which GitHub Enterprise Server speaks.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "core/async/task.hpp"
#include "core/base/secret.hpp"
#include "oci/object_store.hpp"
#include "registry/options.hpp"

namespace cobuild::registry {

struct GithubSettings {
  std::string url;  ///< $ACTIONS_RESULTS_URL, or of the first protocol $ACTIONS_CACHE_URL.
  bool v2 = true;
  Secret token;
  /// How long a request waits, all in all, while the service says that there are too many.
  std::chrono::nanoseconds patience{std::chrono::minutes(10)};
  /// With both, what there is is listed once, by GitHub's public API, instead of asked for one by
  /// one.
  std::string repository;  ///< "owner/name".
  Secret api_token;
  std::string api_url = "https://api.github.com";
  std::size_t parallel = 4;  ///< Parts of uploads in memory.
};

/// Objects never change, and sizes are not told: find() has 0 for them.
class GithubCache : public oci::ObjectStore {
 public:
  /// Stores `text` as the newest of the objects "PREFIX#1", "PREFIX#2", … Somebody who does so at the
  /// same time is waited for; a number that was taken and never filled is passed over after that.
  /// \throws Error as write.
  virtual Task<void> write_next(std::string prefix, std::string text) = 0;
};

/// Connects to nothing yet. `pool` outlives the store. `options` need no environment.
/// \throws Error kInvalidInput when a URL is none.
[[nodiscard]] std::unique_ptr<GithubCache> make_github_cache(asio::any_io_executor executor,
                                                             asio::thread_pool& pool,
                                                             Options options,
                                                             GithubSettings settings);

}  // namespace cobuild::registry
