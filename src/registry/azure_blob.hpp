#pragma once

/// One blob of Azure's storage: sent in blocks, to whatever URL and with whatever signature (F5.4.6). GitHub
/// keeps its caches there, too.

#include <cstdint>
#include <functional>
#include <string>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "registry/part_upload.hpp"
#include "registry/request.hpp"
#include "registry/service_calls.hpp"

namespace cobuild::registry {

/// The version of the protocol that is spoken.
inline constexpr const char* kAzureVersion = "2021-12-02";
/// Blocks of this size; Azure takes 50,000 of them.
inline constexpr std::size_t kAzureBlockBytes = std::size_t{8} << 20;
inline constexpr std::size_t kAzureBlocksMax = 50'000;

/// One request about a blob, but for its URL, its date and its signature.
struct AzureCall {
  Method method = Method::kGet;
  std::string query;  ///< Encoded; without what belongs to the URL.
  Headers headers{};
  std::uint64_t body_bytes = 0;
};

/// Completes a call. Outlives nothing: what it refers to must.
using PrepareAzure = std::function<Task<Request>(AzureCall call)>;

/// `base` with `query` added.
[[nodiscard]] Url with_query(Url base, const std::string& query);

/// Stores `size` bytes as a block blob, replacing the one that is there. What is passed by reference
/// outlives the call. \throws Error as ServiceCalls::call and PartUpload::send, and for a refusal.
Task<void> put_azure_blob(ServiceCalls& calls, PartUpload& parts, const PrepareAzure& prepare,
                          std::uint64_t size, oci::OpenBlob open);

}  // namespace cobuild::registry
