#include "registry/azure_credentials.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"
#include "registry/aws_signature.hpp"
#include "registry/base64.hpp"

namespace cobuild::registry {
namespace {

namespace json = boost::json;

constexpr std::size_t kTokenFileBytesMax = std::size_t{1} << 20;
constexpr std::chrono::minutes kSpareLife{5};
constexpr std::chrono::hours kLifeMax{24};
constexpr std::chrono::seconds kMachineTimeout{2};
constexpr const char* kScope = "https://storage.azure.com/.default";
constexpr const char* kResource = "https://storage.azure.com/";
constexpr const char* kDirectory = "https://login.microsoftonline.com/";
/// Where Azure tells its machines who they are.
constexpr const char* kMachine = "http://169.254.169.254/metadata/identity/oauth2/token";

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return out;
}

/// The path, and each parameter of the query with its values on a line of its own.
std::string canonical_resource(const Url& url, std::string_view account) {
  std::string_view target = url.target;
  std::size_t const question = std::min(target.find('?'), target.size());
  std::string out = "/" + std::string(account) + std::string(target.substr(0, question));
  std::string_view query = target.substr(std::min(question + 1, target.size()));
  std::multimap<std::string, std::string> fields;
  while (!query.empty()) {
    std::size_t const end = std::min(query.find('&'), query.size());
    std::string_view const field = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    std::size_t const equals = std::min(field.find('='), field.size());
    std::string_view const value = field.substr(std::min(equals + 1, field.size()));
    fields.emplace(lower(percent_decode(field.substr(0, equals))), percent_decode(value));
  }
  std::string last;
  for (const auto& [name, value] : fields) {
    out += name == last ? "," + value : "\n" + name + ":" + value;
    last = name;
  }
  return out;
}

RetryPolicy once() {
  RetryPolicy policy;
  policy.attempts_max = 1;
  return policy;
}

Task<Request> copied(Request request) { co_return request; }

std::string form(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string text;
  for (const auto& [name, value] : fields) {
    text += (text.empty() ? "" : "&") + std::string(name) + "=" + percent_encode(value);
  }
  return text;
}

/// "3600", or 3600.
std::chrono::seconds seconds_of(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  std::int64_t seconds = 0;
  if (value != nullptr && value->is_int64()) seconds = value->get_int64();
  if (value != nullptr && value->is_string()) {
    std::string_view const text = value->get_string();
    (void)std::from_chars(text.data(), text.data() + text.size(), seconds);
  }
  return std::clamp(std::chrono::seconds(seconds), std::chrono::seconds(0),
                    std::chrono::seconds(kLifeMax));
}

}  // namespace

std::string azure_string_to_sign(const Request& request, std::string_view account,
                                 std::uint64_t body_bytes) {
  std::string text = std::string(to_string(request.method)) + "\n";
  for (const char* name : {"Content-Encoding", "Content-Language", "Content-Length", "Content-MD5",
                           "Content-Type", "Date", "If-Modified-Since", "If-Match", "If-None-Match",
                           "If-Unmodified-Since", "Range"}) {
    bool const is_length = std::string_view(name) == "Content-Length";
    if (is_length && body_bytes > 0) text += std::to_string(body_bytes);
    if (!is_length) text += request.headers.text(name);
    text += '\n';
  }
  std::map<std::string, std::string> headers;
  for (const auto& [name, value] : request.headers.fields()) {
    if (std::string const key = lower(name); key.starts_with("x-ms-")) headers[key] = value;
  }
  for (const auto& [name, value] : headers) text.append(name).append(":").append(value).append("\n");
  return text + canonical_resource(request.url, account);
}

void sign_azure(Request& request, const std::string& account, const Secret& key,
                std::uint64_t body_bytes) {
  auto const raw = base64_decode(key.reveal());
  if (!raw || raw->empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "secret_access_key of azblob cache is no key of an account: it is not base64");
  }
  std::string const text = azure_string_to_sign(request, account, body_bytes);
  request.headers.add("Authorization",
                      "SharedKey " + account + ":" + base64_encode(hmac_sha256(*raw, text)));
}

AzureTokens::AzureTokens(asio::any_io_executor executor, asio::thread_pool& pool,
                         Transport& transport, const Options& options)
    : pool_(pool),
      options_(options),
      calls_(transport, options, options.retry, options.retry.retry_after_max),
      calls_once_(transport, options, once(), std::chrono::milliseconds(0)),
      turn_(std::move(executor), 1) {}

std::string AzureTokens::variable(const char* name) const {
  return options_.environment.variable(name).value_or("");
}

Task<Secret> AzureTokens::get() {
  auto const turn = co_await turn_.acquire();
  bool const good = lease_ && options_.environment.now() + kSpareLife < lease_->until;
  if (!good) lease_ = co_await look_up();
  co_return lease_->token;
}

/// With a secret, or with what a file says of us.
Task<Request> AzureTokens::ask_directory(std::string tenant, std::string client) {
  std::string host = variable("AZURE_AUTHORITY_HOST");
  if (host.empty()) host = kDirectory;
  if (!host.ends_with('/')) host += '/';
  Request request;
  request.method = Method::kPost;
  request.url = Url::parse(host + percent_encode(tenant) + "/oauth2/v2.0/token");
  request.headers.add("Content-Type", "application/x-www-form-urlencoded");
  if (std::string const secret = variable("AZURE_CLIENT_SECRET"); !secret.empty()) {
    request.body = form({{"grant_type", "client_credentials"},
                         {"client_id", client},
                         {"client_secret", secret},
                         {"scope", kScope}});
    co_return request;
  }
  std::string const file = variable("AZURE_FEDERATED_TOKEN_FILE");
  auto read = [file] { return read_file_if_exists(file, kTokenFileBytesMax).value_or(""); };
  std::string assertion = co_await offload(pool_, read);
  while (assertion.ends_with('\n')) assertion.pop_back();
  if (assertion.empty()) {
    throw Error(ErrorKind::kDenied, "$AZURE_FEDERATED_TOKEN_FILE: " + file + " is empty or missing");
  }
  request.body =
      form({{"grant_type", "client_credentials"},
            {"client_id", client},
            {"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
            {"client_assertion", assertion},
            {"scope", kScope}});
  co_return request;
}

Request AzureTokens::ask_machine() const {
  std::string url = std::string(kMachine) +
                    "?api-version=2018-02-01&resource=" + percent_encode(kResource);
  std::string const client = variable("AZURE_CLIENT_ID");
  if (!client.empty()) url += "&client_id=" + percent_encode(client);
  Request request;
  request.url = Url::parse(url);
  request.headers.add("Metadata", "true");
  return request;
}

Task<AzureTokens::Lease> AzureTokens::fetch(ServiceCalls& calls, Request request) {
  Answer const answer = co_await calls.call([&request] { return copied(request); });
  if (!answer.is_success()) throw refusal(answer).with_context("Azure token");
  json::error_code error;
  json::value const value = json::parse(answer.body, error);
  const json::object* const object = error ? nullptr : value.if_object();
  const json::value* const token = object == nullptr ? nullptr : object->if_contains("access_token");
  if (token == nullptr || !token->is_string()) {
    throw Error(ErrorKind::kCorrupt, answer.url.to_display() + " answers without an access_token");
  }
  co_return Lease{Secret(std::string(token->get_string())),
                  options_.environment.now() + seconds_of(*object, "expires_in")};
}

Task<AzureTokens::Lease> AzureTokens::look_up() {
  std::string tenant = variable("AZURE_TENANT_ID");
  std::string client = variable("AZURE_CLIENT_ID");
  bool const has_proof =
      !variable("AZURE_CLIENT_SECRET").empty() || !variable("AZURE_FEDERATED_TOKEN_FILE").empty();
  if (!tenant.empty() && !client.empty() && has_proof) {
    Request request = co_await ask_directory(std::move(tenant), std::move(client));
    co_return co_await fetch(calls_, std::move(request));
  }
  std::string why;
  try {
    co_return co_await with_timeout(fetch(calls_once_, ask_machine()), kMachineTimeout);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    why = error.what();
  }
  throw Error(ErrorKind::kDenied,
              "no Azure credentials: give secret_access_key, an account_url with a shared access "
              "signature, or $AZURE_TENANT_ID, $AZURE_CLIENT_ID and $AZURE_CLIENT_SECRET; this "
              "machine has no identity of its own (" + why + ")");
}

}  // namespace cobuild::registry
