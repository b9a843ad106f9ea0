#include "registry/github_cache.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/async/shared.hpp"
#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "oci/text_reader.hpp"
#include "registry/azure_blob.hpp"
#include "registry/environment.hpp"
#include "registry/github_token.hpp"
#include "registry/http_transport.hpp"
#include "registry/part_upload.hpp"
#include "registry/registry_error.hpp"
#include "registry/service_calls.hpp"

namespace cobuild::registry {
namespace {

namespace json = boost::json;

constexpr const char* kTwirpPath = "/twirp/github.actions.results.api.v1.CacheService/";
constexpr const char* kV1Path = "/_apis/artifactcache/";
constexpr const char* kV1Accept = "application/json;api-version=6.0-preview.1";
/// What all entries of BuildKit's have for a version: the digest of this.
constexpr std::string_view kVersionText = "|go-actionscache-1.0";
/// As long as this a number that is taken is waited for, and so long between two looks.
constexpr std::chrono::milliseconds kTakenMax{15000};
constexpr std::chrono::milliseconds kTakenPause{2000};
constexpr std::size_t kNumbersMax = 1000;
/// What is listed, if anything is.
constexpr const char* kListedPrefix = "buildkit-blob-1-";
constexpr std::size_t kKeysPerPage = 100;
constexpr std::size_t kKeyPagesMax = 100;

struct Entry {
  std::string key;
  std::string url;  ///< Signed: a secret, and good for some minutes.
};

json::object parse_object(const Answer& answer) {
  json::error_code error;
  json::value value = json::parse(answer.body, error);
  if (error || !value.is_object()) {
    throw Error(ErrorKind::kCorrupt, answer.url.to_display() + " answers with no JSON object");
  }
  return std::move(value.get_object());
}

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

bool is_true(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

/// Whether an answer to a reservation says that somebody has the key.
bool is_taken(const Answer& answer) {
  std::string const code = service_error_code(answer.body);
  return answer.status == 409 || code == "already_exists" ||
         code.find("AlreadyExists") != std::string::npos ||
         registry_message(answer.body).find("already exists") != std::string::npos;
}

Options options_for(Options options, const GithubSettings& settings) {
  options = with_real_environment(std::move(options));
  options.transfers_per_host_max = std::max(options.transfers_per_host_max, settings.parallel);
  return options;
}

class Cache final : public GithubCache {
 public:
  Cache(asio::any_io_executor executor, asio::thread_pool& pool, Options options,
        GithubSettings settings)
      : options_(options_for(std::move(options), settings)),
        settings_(std::move(settings)),
        transport_(make_http_transport(executor, pool, options_)),
        calls_(*transport_, options_, options_.retry,
               std::chrono::ceil<std::chrono::milliseconds>(settings_.patience)),
        parts_(executor, kAzureBlockBytes, kAzureBlocksMax, settings_.parallel),
        version_(Digest::of(kVersionText).hex()),
        keys_(executor, [this] { return list_keys(); }) {
    while (settings_.url.ends_with('/')) settings_.url.pop_back();
    (void)Url::parse(settings_.url);
  }

  Task<std::optional<oci::ObjectInfo>> find(std::string name) override;
  Task<std::optional<oci::ObjectInfo>> find_newest(std::string prefix) override;
  Task<void> read(std::string name, std::uint64_t offset, std::uint64_t length,
                  oci::BlobSink& sink) override;
  Task<void> write(std::string name, std::uint64_t size, oci::OpenBlob open) override;
  Task<void> write_next(std::string prefix, std::string text) override;

 private:
  /// What the public API lists; nullopt: ask for each.
  using Keys = std::optional<std::set<std::string>>;

  [[nodiscard]] Request to_service(Method method, const std::string& path) const;
  Task<Answer> post(std::string path, json::object body);
  Task<std::optional<Entry>> look_up(std::string key);
  Task<std::optional<Entry>> look_up_v1(std::string key);
  Task<std::optional<std::string>> reserve(std::string key);
  Task<std::optional<std::string>> reserve_v1(std::string key);
  Task<bool> create(std::string name, std::uint64_t size, oci::OpenBlob open);
  Task<void> upload_v1(std::string id, std::uint64_t size, oci::OpenBlob open);
  Task<void> send_v1(const std::string& id, const Part& part);
  Task<void> finish(std::string name, std::string id, std::uint64_t size);
  Task<std::size_t> newest_number(std::string prefix);
  Task<Keys> list_keys();
  Task<void> list_scope(std::string scope, std::set<std::string>& keys);

  Options options_;
  GithubSettings settings_;
  std::unique_ptr<Transport> transport_;
  ServiceCalls calls_;
  PartUpload parts_;
  std::string version_;
  Shared<Keys> keys_;
  std::map<std::string, std::string> urls_;  ///< Of objects that were found.
};

Task<Request> copied(Request request) { co_return request; }

Request Cache::to_service(Method method, const std::string& path) const {
  Request request;
  request.method = method;
  request.url = Url::parse(settings_.url + (settings_.v2 ? kTwirpPath : kV1Path) + path);
  request.headers.add("Authorization", "Bearer " + settings_.token.reveal());
  if (!settings_.v2) request.headers.add("Accept", kV1Accept);
  return request;
}

Task<Answer> Cache::post(std::string path, json::object body) {
  Request request = to_service(Method::kPost, path);
  request.headers.add("Content-Type", "application/json");
  request.body = json::serialize(body);
  co_return co_await calls_.call([&request] { return copied(request); });
}

/// The entry of that key, else the newest whose key begins with it.
Task<std::optional<Entry>> Cache::look_up(std::string key) {
  if (!settings_.v2) co_return co_await look_up_v1(std::move(key));
  json::object body{{"key", key}, {"restore_keys", json::array{key}}, {"version", version_}};
  Answer const answer = co_await post("GetCacheEntryDownloadURL", std::move(body));
  if (answer.status == 404) co_return std::nullopt;
  if (!answer.is_success()) throw refusal(answer);
  json::object const found = parse_object(answer);
  if (!is_true(found, "ok")) co_return std::nullopt;
  co_return Entry{text_of(found, "matched_key"), text_of(found, "signed_download_url")};
}

Task<std::optional<Entry>> Cache::look_up_v1(std::string key) {
  Request const request = to_service(
      Method::kGet, "cache?keys=" + percent_encode(key) + "&version=" + version_);
  Answer const answer = co_await calls_.call([&request] { return copied(request); });
  if (answer.status == 204 || answer.status == 404) co_return std::nullopt;
  if (!answer.is_success()) throw refusal(answer);
  if (answer.body.empty()) co_return std::nullopt;
  json::object const found = parse_object(answer);
  Entry entry{text_of(found, "cacheKey"), text_of(found, "archiveLocation")};
  if (entry.key.empty()) co_return std::nullopt;
  co_return entry;
}

Task<std::optional<oci::ObjectInfo>> Cache::find(std::string name) {
  Keys const keys = name.starts_with(kListedPrefix) ? co_await keys_.get() : std::nullopt;
  if (keys) {
    if (!keys->contains(name)) co_return std::nullopt;
    co_return oci::ObjectInfo{.name = std::move(name)};
  }
  auto found = co_await look_up(name);
  if (!found || found->key != name) co_return std::nullopt;
  urls_[name] = std::move(found->url);
  co_return oci::ObjectInfo{.name = std::move(name)};
}

Task<std::optional<oci::ObjectInfo>> Cache::find_newest(std::string prefix) {
  auto found = co_await look_up(prefix);
  if (!found || !found->key.starts_with(prefix)) co_return std::nullopt;
  urls_[found->key] = std::move(found->url);
  co_return oci::ObjectInfo{.name = std::move(found->key)};
}

Task<void> Cache::read(std::string name, std::uint64_t offset, std::uint64_t length,
                       oci::BlobSink& sink) {
  for (bool again = false;; again = true) {
    auto known = urls_.find(name);
    if (known == urls_.end()) {
      auto found = co_await look_up(name);
      if (!found || found->key != name) {
        throw Error(ErrorKind::kNotFound, "the GitHub cache has no entry " + name);
      }
      known = urls_.insert_or_assign(name, std::move(found->url)).first;
    }
    Request request;
    request.url = Url::parse(known->second);
    request.is_bulk = true;
    auto make = [&](const std::string& range) {
      Request ranged = request;
      if (!range.empty()) ranged.headers.add("Range", range);
      return copied(std::move(ranged));
    };
    auto const answer = co_await calls_.read(make, ByteRange{offset, length}, sink);
    if (!answer) co_return;
    bool const expired = answer->status == 401 || answer->status == 403;
    if (!expired || again) throw refusal(*answer).with_context("GitHub cache entry " + name);
    urls_.erase(name);
  }
}

/// Where to upload to, the service's own id of the entry; nullopt when somebody has the key.
Task<std::optional<std::string>> Cache::reserve(std::string key) {
  if (!settings_.v2) co_return co_await reserve_v1(std::move(key));
  json::object body{{"key", key}, {"version", version_}};
  Answer const answer = co_await post("CreateCacheEntry", std::move(body));
  if (!answer.is_success()) {
    if (is_taken(answer)) co_return std::nullopt;
    throw refusal(answer).with_context("GitHub cache entry " + key);
  }
  json::object const reserved = parse_object(answer);
  if (!is_true(reserved, "ok")) co_return std::nullopt;
  co_return text_of(reserved, "signed_upload_url");
}

Task<std::optional<std::string>> Cache::reserve_v1(std::string key) {
  json::object body{{"key", key}, {"version", version_}};
  Answer const answer = co_await post("caches", std::move(body));
  if (!answer.is_success()) {
    if (is_taken(answer)) co_return std::nullopt;
    throw refusal(answer).with_context("GitHub cache entry " + key);
  }
  json::object const reserved = parse_object(answer);
  for (const char* name : {"cacheId", "cacheID"}) {
    const json::value* const id = reserved.if_contains(name);
    if (id != nullptr && id->is_int64() && id->get_int64() > 0) {
      co_return std::to_string(id->get_int64());
    }
  }
  throw Error(ErrorKind::kCorrupt, answer.url.to_display() + " answers without a cacheId");
}

Task<void> Cache::send_v1(const std::string& id, const Part& part) {
  Request request = to_service(Method::kPatch, "caches/" + id);
  request.headers.add("Content-Type", "application/octet-stream");
  request.headers.add("Content-Range",
                      "bytes " + std::to_string(part.offset) + "-" +
                          std::to_string(part.offset + part.bytes.size() - 1) + "/*");
  Answer const answer = co_await calls_.call([&request] { return copied(request); }, &part.bytes);
  if (!answer.is_success()) throw refusal(answer);
}

Task<void> Cache::upload_v1(std::string id, std::uint64_t size, oci::OpenBlob open) {
  PartUpload::SendPart const send = [&](const Part& part) { return send_v1(id, part); };
  co_await parts_.send(size, std::move(open), send);
}

Task<void> Cache::finish(std::string name, std::string id, std::uint64_t size) {
  json::object body{{"size", size}};
  std::string path = "caches/" + id;
  if (settings_.v2) {
    body = json::object{{"key", name}, {"size_bytes", size}, {"version", version_}};
    path = "FinalizeCacheEntryUpload";
  }
  Answer const answer = co_await post(std::move(path), std::move(body));
  if (!answer.is_success()) throw refusal(answer).with_context("GitHub cache entry " + name);
  if (settings_.v2 && !is_true(parse_object(answer), "ok")) {
    throw Error(ErrorKind::kUnavailable, "the GitHub cache did not take the entry " + name);
  }
}

/// False: the key is somebody's already.
Task<bool> Cache::create(std::string name, std::uint64_t size, oci::OpenBlob open) {
  auto const place = co_await reserve(name);
  if (!place) co_return false;
  if (settings_.v2) {
    Url const url = Url::parse(*place);
    PrepareAzure const prepare = [&url](const AzureCall& call) {
      Request request;
      request.method = call.method;
      request.url = with_query(url, call.query);
      request.headers = call.headers;
      request.headers.add("x-ms-version", kAzureVersion);
      return copied(std::move(request));
    };
    co_await put_azure_blob(calls_, parts_, prepare, size, std::move(open));
  } else {
    co_await upload_v1(*place, size, std::move(open));
  }
  co_await finish(std::move(name), *place, size);
  co_return true;
}

Task<void> Cache::write(std::string name, std::uint64_t size, oci::OpenBlob open) {
  (void)co_await create(std::move(name), size, std::move(open));
}

/// 0 when there is none.
Task<std::size_t> Cache::newest_number(std::string prefix) {
  auto const found = co_await look_up(prefix);
  if (!found || !found->key.starts_with(prefix)) co_return 0;
  std::string_view const text = std::string_view(found->key).substr(prefix.size());
  std::size_t number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw Error(ErrorKind::kCorrupt, "the GitHub cache has the entry " + found->key +
                                         ", which does not end in a number");
  }
  co_return number;
}

Task<void> Cache::write_next(std::string prefix, std::string text) {
  prefix += '#';
  oci::OpenBlob const open = oci::open_text(text);
  std::chrono::milliseconds waited{0};
  std::size_t number = co_await newest_number(prefix);
  for (std::size_t tries = 0; tries < kNumbersMax; ++tries) {
    ++number;
    if (co_await create(prefix + std::to_string(number), text.size(), open)) co_return;
    if (waited > kTakenMax) continue;  // Whoever has it may have died: the next number, then.
    co_await options_.environment.sleep(kTakenPause);
    waited += kTakenPause;
    number = co_await newest_number(prefix);
  }
  throw Error(ErrorKind::kUnavailable, "the GitHub cache has no free number for " + prefix);
}

/// Only saves questions: whatever goes wrong, they are asked.
Task<Cache::Keys> Cache::list_keys() {
  if (settings_.repository.empty() || settings_.api_token.empty()) co_return std::nullopt;
  try {
    std::set<std::string> keys;
    auto const scopes = parse_github_token(settings_.token.reveal(), options_.environment.now());
    for (const GithubScope& scope : scopes) co_await list_scope(scope.name, keys);
    co_return keys;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    if (options_.on_notice) {
      options_.on_notice("listing the caches of " + settings_.repository + ": " + error.what());
    }
  }
  co_return std::nullopt;
}

Task<void> Cache::list_scope(std::string scope, std::set<std::string>& keys) {
  for (std::size_t page = 1; page <= kKeyPagesMax; ++page) {
    Request request;
    request.url = Url::parse(settings_.api_url + "/repos/" + settings_.repository +
                             "/actions/caches?per_page=" + std::to_string(kKeysPerPage) +
                             "&page=" + std::to_string(page) +
                             "&key=" + kListedPrefix + "&ref=" + percent_encode(scope));
    request.headers.add("Accept", "application/vnd.github+json");
    request.headers.add("Authorization", "Bearer " + settings_.api_token.reveal());
    request.headers.add("X-GitHub-Api-Version", "2022-11-28");
    Answer const answer = co_await calls_.call([&request] { return copied(request); });
    if (!answer.is_success()) throw refusal(answer);
    json::object const list = parse_object(answer);
    const json::value* const entries = list.if_contains("actions_caches");
    const json::array* const caches = entries == nullptr ? nullptr : entries->if_array();
    if (caches == nullptr) throw Error(ErrorKind::kCorrupt, "the answer lists no caches");
    for (const json::value& entry : *caches) {
      if (entry.is_object()) keys.insert(text_of(entry.get_object(), "key"));
    }
    if (caches->size() < kKeysPerPage) co_return;
  }
}

}  // namespace

std::unique_ptr<GithubCache> make_github_cache(asio::any_io_executor executor,
                                               asio::thread_pool& pool, Options options,
                                               GithubSettings settings) {
  return std::make_unique<Cache>(std::move(executor), pool, std::move(options),
                                 std::move(settings));
}

}  // namespace cobuild::registry
