#pragma once

/// Who we are to Azure's storage (F5.4.6): the account's key; a shared access signature in the account's
/// URL; else a token for what the environment says: a client's secret ($AZURE_TENANT_ID,
/// $AZURE_CLIENT_ID, $AZURE_CLIENT_SECRET), a workload's identity ($AZURE_FEDERATED_TOKEN_FILE), or
/// the machine's.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "core/async/semaphore.hpp"
#include "core/async/task.hpp"
#include "core/base/secret.hpp"
#include "registry/options.hpp"
#include "registry/request.hpp"
#include "registry/service_calls.hpp"

namespace cobuild::registry {

/// What an account's key signs of a request with a body of `body_bytes`. Pure.
[[nodiscard]] std::string azure_string_to_sign(const Request& request, std::string_view account,
                                               std::uint64_t body_bytes);

/// Adds Authorization. x-ms-date and all other headers must be there. \throws Error kInvalidInput
/// when the key is no base64; it is not quoted.
void sign_azure(Request& request, const std::string& account, const Secret& key,
                std::uint64_t body_bytes);

class AzureTokens {
 public:
  /// What is passed by reference outlives this.
  AzureTokens(asio::any_io_executor executor, asio::thread_pool& pool, Transport& transport,
              const Options& options);

  /// One that is good for some minutes yet. \throws Error kDenied when there is none to be had,
  /// saying what was looked at.
  Task<Secret> get();

 private:
  using TimePoint = std::chrono::system_clock::time_point;
  struct Lease {
    Secret token;
    TimePoint until;
  };
  Task<Lease> look_up();
  Task<Request> ask_directory(std::string tenant, std::string client);
  Task<Lease> fetch(ServiceCalls& calls, Request request);
  [[nodiscard]] Request ask_machine() const;
  [[nodiscard]] std::string variable(const char* name) const;

  asio::thread_pool& pool_;
  const Options& options_;
  ServiceCalls calls_;
  ServiceCalls calls_once_;  ///< To what may not be there at all.
  std::optional<Lease> lease_;
  Semaphore turn_;  ///< One asks; the others take what it got.
};

}  // namespace cobuild::registry
