#include "registry/transport.hpp"

namespace cobuild::registry {

Task<std::string> read_body(Response& response, std::size_t bytes_max) {
  std::string body;
  if (auto const length = response.headers().number("Content-Length");
      length && *length > bytes_max) {
    throw Error(ErrorKind::kCorrupt, "response body has " + std::to_string(*length) +
                                         " bytes; no more than " + std::to_string(bytes_max) +
                                         " are taken");
  }
  while (true) {
    std::span<const std::byte> const chunk = co_await response.read();
    if (chunk.empty()) co_return body;
    if (chunk.size() > bytes_max - body.size()) {
      throw Error(ErrorKind::kCorrupt,
                  "response body is longer than " + std::to_string(bytes_max) + " bytes");
    }
    body.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
  }
}

}  // namespace cobuild::registry
