#pragma once

/// Requests and responses as values; no sockets.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/content.hpp"
#include "registry/url.hpp"

namespace cobuild::registry {

enum class Method { kGet, kHead, kPost, kPut, kPatch, kDelete };
[[nodiscard]] std::string_view to_string(Method method) noexcept;

/// Header fields in the order received; names compare without case.
class Headers {
 public:
  void add(std::string name, std::string value) {
    fields_.push_back({std::move(name), std::move(value)});
  }
  /// The first of that name.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;
  [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
  [[nodiscard]] std::string text(std::string_view name) const {  ///< "" when absent.
    return std::string(find(name).value_or(""));
  }
  [[nodiscard]] std::optional<std::uint64_t> number(std::string_view name) const noexcept;

  struct Field {
    std::string name;
    std::string value;
  };
  [[nodiscard]] const std::vector<Field>& fields() const noexcept { return fields_; }

 private:
  std::vector<Field> fields_;
};

/// Where a 206 starts; nullopt when it does not say, or says nonsense.
[[nodiscard]] std::optional<std::uint64_t> content_range_start(const Headers& headers);

struct Request {
  Method method = Method::kGet;
  Url url;
  Headers headers;
  std::string body;
  /// Instead of `body`: so many bytes from `stream`, which outlives the call. Such a request is
  /// sent once and never repeated by the transport.
  oci::BlobReader* stream = nullptr;
  std::uint64_t stream_length = 0;
  bool is_bulk = false;  ///< A blob, one way or the other: counts as a transfer.
};

}  // namespace cobuild::registry
