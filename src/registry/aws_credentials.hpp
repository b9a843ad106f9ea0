#pragma once

/// Who we are to AWS, as its SDKs find out (F5.4.5): what the caller says; else the environment's
/// keys; a role taken with a token file ($AWS_WEB_IDENTITY_TOKEN_FILE, $AWS_ROLE_ARN); a profile of
/// ~/.aws/credentials and ~/.aws/config; the container's ($AWS_CONTAINER_CREDENTIALS_*_URI); and the
/// machine's role (EC2's metadata service).

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "core/async/semaphore.hpp"
#include "core/async/task.hpp"
#include "registry/aws_signature.hpp"
#include "registry/options.hpp"
#include "registry/service_calls.hpp"

namespace cobuild::registry {

/// The settings of one section of an AWS configuration file, names in lower case; empty when it has
/// no such section. In the file `config`, profiles but "default" are in "[profile NAME]".
[[nodiscard]] std::map<std::string, std::string> find_aws_profile(std::string_view text,
                                                                  const std::string& profile,
                                                                  bool is_config_file);

class AwsCredentials {
 public:
  /// `region` is where a role is taken. What is passed by reference outlives this.
  AwsCredentials(asio::any_io_executor executor, asio::thread_pool& pool, Transport& transport,
                 const Options& options, std::string region, std::optional<AwsKeys> given);

  /// Keys that are good for some minutes yet. \throws Error kDenied when there are none, saying what
  /// was looked at; kUnavailable and kInvalidInput when they cannot be read or had.
  Task<AwsKeys> get();

 private:
  using TimePoint = std::chrono::system_clock::time_point;
  struct Lease {
    AwsKeys keys;
    std::optional<TimePoint> until;
  };
  using Profile = std::map<std::string, std::string>;

  Task<Lease> look_up();
  Task<std::optional<Lease>> from_profile();
  Task<Profile> read_profile(std::string name);
  Task<Lease> take_role(std::string token_file, std::string role, std::string session);
  Task<std::optional<Lease>> from_container();
  Task<std::optional<Lease>> from_machine();
  Task<Lease> fetch_json(Request request);
  [[nodiscard]] std::string variable(const char* name) const;

  asio::thread_pool& pool_;
  const Options& options_;
  ServiceCalls calls_;
  ServiceCalls calls_once_;  ///< To what may not be there at all.
  std::string region_;
  std::optional<Lease> lease_;
  Semaphore turn_;  ///< One looks; the others take what it found.
};

}  // namespace cobuild::registry
