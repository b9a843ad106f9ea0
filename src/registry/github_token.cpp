#include "registry/github_token.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

#include "core/base/error.hpp"
#include "registry/base64.hpp"
#include "registry/http_date.hpp"

namespace cobuild::registry {
namespace {

namespace json = boost::json;

constexpr std::size_t kScopesMax = 100;
constexpr std::int64_t kWritable = 2;  ///< A bit of Permission.

Error malformed(const std::string& why) {
  return Error(ErrorKind::kInvalidInput,
               "the token of the GitHub cache is not one of its service ($ACTIONS_RUNTIME_TOKEN): " +
                   why);
}

/// The claims: the second of three parts, in base64 for URLs.
std::string claims_text(std::string_view token) {
  std::size_t const first = token.find('.');
  std::size_t const second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos) throw malformed("it is no JWT");
  std::string part(token.substr(first + 1, second - first - 1));
  std::ranges::replace(part, '-', '+');
  std::ranges::replace(part, '_', '/');
  auto text = base64_decode(part);
  if (!text) throw malformed("its claims are no base64");
  return *std::move(text);
}

json::value parse(std::string_view text) {
  json::error_code error;
  json::value value = json::parse(text, error);
  if (error) throw malformed("its claims are no JSON");
  return value;
}

/// Seconds since 1970.
std::chrono::system_clock::time_point time_of(const json::object& claims, std::string_view name) {
  const json::value* const value = claims.if_contains(name);
  json::error_code error;
  auto const seconds = value == nullptr ? 0.0 : value->to_number<double>(error);
  constexpr double kSecondsMax = 1e10;  // in the year 2286
  if (value == nullptr || error || !(seconds >= 0) || seconds > kSecondsMax) {
    throw malformed("it has no time " + std::string(name));
  }
  return std::chrono::system_clock::time_point(
      std::chrono::seconds(static_cast<std::int64_t>(seconds)));
}

std::optional<GithubScope> scope_of(const json::value& value) {
  const json::object* const object = value.if_object();
  if (object == nullptr) return std::nullopt;
  const json::value* const name = object->if_contains("Scope");
  const json::value* const permission = object->if_contains("Permission");
  if (name == nullptr || !name->is_string()) return std::nullopt;
  bool const writable = permission != nullptr && permission->is_int64() &&
                        (permission->get_int64() & kWritable) != 0;
  return GithubScope{std::string(name->get_string()), writable};
}

}  // namespace

std::vector<GithubScope> parse_github_token(std::string_view token,
                                            std::chrono::system_clock::time_point now) {
  json::value const value = parse(claims_text(token));
  const json::object* const claims = value.if_object();
  const json::value* const access = claims == nullptr ? nullptr : claims->if_contains("ac");
  if (access == nullptr || !access->is_string()) throw malformed("it has no access controls");
  auto const expires = time_of(*claims, "exp");
  auto const begins = time_of(*claims, "nbf");
  if (now > expires) {
    throw Error(ErrorKind::kDenied, "cache token expired at " + format_http_date(expires));
  }
  if (now < begins) {
    throw Error(ErrorKind::kDenied,
                "invalid token with future issue time " + format_http_date(begins));
  }
  json::value const list = parse(std::string_view(access->get_string()));
  if (!list.is_array()) throw malformed("its access controls are no list");
  std::vector<GithubScope> scopes;
  for (const json::value& entry : list.get_array()) {
    auto scope = scope_of(entry);
    if (scope && scopes.size() < kScopesMax) scopes.push_back(*std::move(scope));
  }
  return scopes;
}

}  // namespace cobuild::registry
