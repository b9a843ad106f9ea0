#include "registry/request.hpp"

#include <algorithm>
#include <charconv>

namespace cobuild::registry {
namespace {

bool same_name(std::string_view a, std::string_view b) {
  auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace

std::string_view to_string(Method method) noexcept {
  switch (method) {
    case Method::kGet: return "GET";
    case Method::kHead: return "HEAD";
    case Method::kPost: return "POST";
    case Method::kPut: return "PUT";
    case Method::kPatch: return "PATCH";
    case Method::kDelete: return "DELETE";
  }
  return "GET";
}

std::optional<std::string_view> Headers::find(std::string_view name) const noexcept {
  for (const Field& field : fields_) {
    if (same_name(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::vector<std::string> Headers::all(std::string_view name) const {
  std::vector<std::string> values;
  for (const Field& field : fields_) {
    if (same_name(field.name, name)) values.push_back(field.value);
  }
  return values;
}

std::optional<std::uint64_t> Headers::number(std::string_view name) const noexcept {
  auto const value = find(name);
  if (!value) return std::nullopt;
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size()) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> content_range_start(const Headers& headers) {
  std::string const text = headers.text("Content-Range");
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return std::nullopt;
  std::uint64_t start = 0;
  auto [end, error] = std::from_chars(text.data() + kUnit.size(), text.data() + text.size(), start);
  if (error != std::errc() || end == text.data() + text.size() || *end != '-') return std::nullopt;
  return start;
}

}  // namespace cobuild::registry
