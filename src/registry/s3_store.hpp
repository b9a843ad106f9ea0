#pragma once

/// Objects in a bucket of Amazon S3, or of whatever speaks its protocol (F5.4.5).

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "oci/object_store.hpp"
#include "registry/aws_signature.hpp"
#include "registry/options.hpp"

namespace cobuild::registry {

struct S3Settings {
  std::string bucket;
  std::string region;
  std::string prefix;        ///< Before each name.
  std::string endpoint_url;  ///< Empty: Amazon's of the region.
  bool path_style = false;   ///< The bucket is in the path, not in the host's name.
  std::optional<AwsKeys> keys;                 ///< Else \see AwsCredentials.
  std::chrono::nanoseconds touch_refresh{std::chrono::hours(24)};  ///< Older objects are old.
  std::size_t parallel = 4;                    ///< Uploads at once.
  std::optional<std::size_t> attempts_max;     ///< Of each request; else as Options say.
};

/// Connects to nothing yet. `pool` outlives the store. `options` need no environment.
/// \throws Error kInvalidInput when the endpoint is no URL.
[[nodiscard]] std::unique_ptr<oci::ObjectStore> make_s3_store(asio::any_io_executor executor,
                                                              asio::thread_pool& pool,
                                                              Options options, S3Settings settings);

/// Where an object is. In the host's name only where the bucket can be part of one. Pure.
[[nodiscard]] Url s3_url(const S3Settings& settings, const std::string& name);

}  // namespace cobuild::registry
