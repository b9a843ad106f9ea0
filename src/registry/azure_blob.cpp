#include "registry/azure_blob.hpp"

#include <array>
#include <cstdio>
#include <utility>

#include "registry/base64.hpp"

namespace cobuild::registry {
namespace {

/// The ids of a blob's blocks are all of one length.
std::string block_id(std::size_t index) {
  std::array<char, 32> text{};
  int const length = std::snprintf(text.data(), text.size(), "block-%08zu", index);
  return base64_encode(std::string_view(text.data(), static_cast<std::size_t>(length)));
}

Task<void> put(ServiceCalls& calls, const PrepareAzure& prepare, AzureCall call,
               const std::string& body) {
  call.method = Method::kPut;
  call.body_bytes = body.size();
  auto make = [&] { return prepare(call); };
  Answer const answer = co_await calls.call(make, &body);
  if (!answer.is_success()) throw refusal(answer);
}

Task<void> put_whole(ServiceCalls& calls, const PrepareAzure& prepare, const std::string& bytes) {
  AzureCall call;
  call.headers.add("x-ms-blob-type", "BlockBlob");
  co_await put(calls, prepare, std::move(call), bytes);
}

Task<void> put_block(ServiceCalls& calls, const PrepareAzure& prepare, const Part& part) {
  AzureCall call;
  call.query = "comp=block&blockid=" + percent_encode(block_id(part.index));
  co_await put(calls, prepare, std::move(call), part.bytes);
}

}  // namespace

Url with_query(Url base, const std::string& query) {
  if (query.empty()) return base;
  base.target += (base.target.find('?') == std::string::npos ? "?" : "&") + query;
  return base;
}

Task<void> put_azure_blob(ServiceCalls& calls, PartUpload& parts, const PrepareAzure& prepare,
                          std::uint64_t size, oci::OpenBlob open) {
  if (size == 0) {
    std::string const nothing;
    co_await put_whole(calls, prepare, nothing);
    co_return;
  }
  std::size_t const count = parts.count(size);
  PartUpload::SendPart const send = [&](const Part& part) {
    return count == 1 ? put_whole(calls, prepare, part.bytes) : put_block(calls, prepare, part);
  };
  co_await parts.send(size, std::move(open), send);
  if (count == 1) co_return;
  std::string list = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>";
  for (std::size_t i = 0; i < count; ++i) list += "<Latest>" + block_id(i) + "</Latest>";
  list += "</BlockList>";
  AzureCall call;
  call.query = "comp=blocklist";
  co_await put(calls, prepare, std::move(call), list);
}

}  // namespace cobuild::registry
