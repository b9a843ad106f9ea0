#include "registry/token_source.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <utility>

#include "core/async/context.hpp"
#include "core/base/error.hpp"
#include "core/base/go_time.hpp"
#include "registry/base64.hpp"
#include "registry/registry_error.hpp"

namespace cobuild::registry {
namespace {

namespace json = boost::json;
using TimePoint = std::chrono::system_clock::time_point;

constexpr std::size_t kTokenBytesMax = 1024 * 1024;
constexpr std::chrono::seconds kDefaultLife{60};
constexpr std::chrono::seconds kLifeMax{24 * 3600};
constexpr std::string_view kClientId = "buildkit-client";

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : " ") + part;
  return text;
}

void add_field(std::string& form, std::string_view name, std::string_view value) {
  if (!form.empty()) form += '&';
  form.append(name).append("=").append(percent_encode(value));
}

Request post_request(const TokenQuery& query, Url url) {
  const Credentials& who = *query.credentials;
  std::string form;
  add_field(form, "client_id", kClientId);
  if (!who.identity_token.empty()) {
    add_field(form, "grant_type", "refresh_token");
    add_field(form, "refresh_token", who.identity_token.reveal());
  } else {
    add_field(form, "grant_type", "password");
    add_field(form, "password", who.password.reveal());
  }
  if (!query.scopes.empty()) add_field(form, "scope", join(query.scopes));
  add_field(form, "service", query.service);
  if (who.identity_token.empty()) add_field(form, "username", who.username);
  Request request;
  request.method = Method::kPost;
  request.url = std::move(url);
  request.headers.add("Content-Type", "application/x-www-form-urlencoded; charset=utf-8");
  request.body = std::move(form);
  return request;
}

Request get_request(const TokenQuery& query, Url url) {
  std::string fields;
  if (!query.service.empty()) add_field(fields, "service", query.service);
  for (const std::string& scope : query.scopes) add_field(fields, "scope", scope);
  if (!fields.empty()) {
    url.target += (url.target.find('?') == std::string::npos ? "?" : "&") + fields;
  }
  Request request;
  request.url = std::move(url);
  if (query.credentials && !query.credentials->username.empty()) {
    request.headers.add("Authorization",
                        "Basic " + base64_encode(query.credentials->username + ":" +
                                                 query.credentials->password.reveal()));
  }
  return request;
}

struct Answer {
  Method method = Method::kGet;
  Url url;
  int status = 0;
  std::string body;
};

Task<Answer> ask(RedirectingTransport& http, Request request, PlainHttp plain_http) {
  Answer answer;
  answer.method = request.method;
  answer.url = request.url;
  auto response = co_await http.send(std::move(request), plain_http);
  answer.status = response->status();
  answer.body = co_await read_body(*response, kTokenBytesMax);
  co_return answer;
}

/// Whether the answer to a POST means that this server wants a GET: 404 (Google), 401
/// (Artifactory), 405 when there is a name to send by GET.
bool wants_get(int status, const Credentials& who) {
  return status == 404 || status == 401 || (status == 405 && !who.username.empty());
}

Task<Token> fetch(RedirectingTransport& http, const Options& options, TokenQuery query) {
  Url const url = Url::parse(query.realm);
  Answer answer;
  bool done = false;
  if (query.credentials) {
    answer = co_await ask(http, post_request(query, url), query.plain_http);
    done = !wants_get(answer.status, *query.credentials) || query.credentials->username.empty();
  }
  if (!done) answer = co_await ask(http, get_request(query, url), query.plain_http);
  if (answer.status < 200 || answer.status >= 300) {
    throw status_error(answer.method, answer.url, answer.status, answer.body);
  }
  co_return parse_token(answer.body, options.environment.now());
}

}  // namespace

Token parse_token(std::string_view text, TimePoint now) {
  json::error_code error;
  json::value const value = json::parse(text, error);
  const json::object* object = error ? nullptr : value.if_object();
  auto member = [&](std::string_view name) -> std::string {
    const json::value* found = object ? object->if_contains(name) : nullptr;
    return found && found->is_string() ? std::string(found->get_string()) : std::string();
  };
  std::string token = member("access_token");
  if (token.empty()) token = member("token");
  if (token.empty()) {
    throw Error(ErrorKind::kDenied, "authorization server did not include a token in the response");
  }
  std::chrono::seconds life = kDefaultLife;
  const json::value* expires_in = object->if_contains("expires_in");
  if (expires_in && expires_in->is_int64() && expires_in->get_int64() > 0) {
    life = std::chrono::seconds(std::min<std::int64_t>(expires_in->get_int64(), kLifeMax.count()));
  }
  auto const used_for = life * 9 / 10;
  TimePoint expires = now + used_for;
  // The server's clock counts only where it makes the life shorter but leaves some.
  if (auto issued = try_parse_rfc3339(member("issued_at"))) {
    auto const by_server = std::chrono::time_point_cast<TimePoint::duration>(*issued) + used_for;
    if (by_server > now && by_server < expires) expires = by_server;
  }
  return Token{Secret(std::move(token)), expires};
}

Task<Token> fetch_token(RedirectingTransport& http, const Options& options, TokenQuery query) {
  std::string const what = std::string("failed to authorize: failed to fetch ") +
                           (query.credentials ? "oauth" : "anonymous") + " token";
  auto describe = [&] { return what; };
  co_return co_await in_context(fetch(http, options, std::move(query)), describe);
}

}  // namespace cobuild::registry
