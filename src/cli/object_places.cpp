#include "cli/object_places.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <type_traits>
#include <utility>

#include "cli/push_options.hpp"
#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/go_quote.hpp"
#include "dockerfile/duration.hpp"
#include "oci/text_reader.hpp"
#include "registry/github_token.hpp"
#include "registry/url.hpp"

namespace cobuild::cli {
namespace {

constexpr std::array<std::string_view, 3> kObjectTypes = {"s3", "azblob", "gha"};
constexpr std::chrono::minutes kGithubTimeout{10};
/// What a cache is called unless it says so, in all of these (F5.4.4 to F5.4.6).
constexpr const char* kDefaultName = "buildkit";

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kInvalidInput, what); }

/// The attributes of one cache, and what stands in for those that are missing.
class Attributes {
 public:
  Attributes(const CacheOptions& cache, const FindVariable& variable)
      : cache_(cache), variable_(variable) {}

  [[nodiscard]] std::optional<std::string> find(const std::string& key) const {
    auto const found = cache_.attributes.find(key);
    if (found == cache_.attributes.end()) return std::nullopt;
    return found->second;
  }
  /// The attribute, else the variable.
  [[nodiscard]] std::optional<std::string> find(const std::string& key, const char* name) const {
    auto value = find(key);
    return value ? value : variable_(name);
  }
  [[nodiscard]] std::string text(const std::string& key, std::string fallback = {}) const {
    return find(key).value_or(std::move(fallback));
  }
  [[nodiscard]] std::optional<std::string> variable(const char* name) const {
    return variable_(name);
  }

  [[nodiscard]] std::optional<std::size_t> positive(const std::string& key) const {
    auto const value = find(key);
    if (!value) return std::nullopt;
    std::size_t number = 0;
    auto const [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
    if (error != std::errc() || end != value->data() + value->size() || number == 0) {
      refuse(key + " must be a positive integer");
    }
    return number;
  }

  [[nodiscard]] bool is_on(const std::string& key) const {
    auto const value = find(key);
    return value && parse_bool(key, *value);
  }

  [[nodiscard]] std::optional<std::chrono::nanoseconds> duration(const std::string& key) const {
    auto const value = find(key);
    if (!value) return std::nullopt;
    try {
      return dockerfile::parse_duration(*value);
    } catch (const Error& error) {
      throw error.with_context(key + " of " + cache_.type + " cache");
    }
  }

  /// name: one, or several with ";" between them.
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    std::string const text_of_names = text("name", kDefaultName);
    for (std::size_t begin = 0; begin <= text_of_names.size();) {
      std::size_t const end = std::min(text_of_names.find(';', begin), text_of_names.size());
      out.push_back(text_of_names.substr(begin, end - begin));
      begin = end + 1;
    }
    return out;
  }

 private:
  const CacheOptions& cache_;
  const FindVariable& variable_;
};

registry::S3Settings parse_s3(const Attributes& attributes) {
  registry::S3Settings s3;
  auto const bucket = attributes.find("bucket", "AWS_BUCKET");
  if (!bucket || bucket->empty()) refuse("bucket ($AWS_BUCKET) not set for s3 cache");
  s3.bucket = *bucket;
  auto const region = attributes.find("region", "AWS_REGION");
  if (!region || region->empty()) refuse("region ($AWS_REGION) not set for s3 cache");
  s3.region = *region;
  s3.prefix = attributes.text("prefix");
  s3.endpoint_url = attributes.text("endpoint_url");
  s3.path_style = attributes.is_on("use_path_style");
  for (const char* name : {"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}) {
    if (s3.endpoint_url.empty()) s3.endpoint_url = attributes.variable(name).value_or("");
  }
  std::string const id = attributes.text("access_key_id");
  std::string const key = attributes.text("secret_access_key");
  if (id.empty() != key.empty()) {
    refuse("access_key_id and secret_access_key of s3 cache go together");
  }
  if (!id.empty()) {
    s3.keys = registry::AwsKeys{id, Secret(key), Secret(attributes.text("session_token"))};
  }
  if (auto const refresh = attributes.duration("touch_refresh")) s3.touch_refresh = *refresh;
  if (auto const parallel = attributes.positive("upload_parallelism")) s3.parallel = *parallel;
  s3.attempts_max = attributes.positive("retry_max_attempts");
  auto const mode = attributes.find("retry_mode");
  if (mode && *mode != "standard" && *mode != "adaptive") {
    refuse("retry_mode must be \"standard\" or \"adaptive\"");
  }
  (void)registry::s3_url(s3, "");
  return s3;
}

ObjectPlace s3_place(const Attributes& attributes) {
  registry::S3Settings s3 = parse_s3(attributes);
  std::string const configs = attributes.text("manifests_prefix", "manifests/");
  std::string const blobs = attributes.text("blobs_prefix", "blobs/");
  ObjectPlace place{.name = "s3:" + s3.bucket + "/" + s3.prefix,
                    .identity = registry::s3_url(s3, s3.prefix + blobs).to_string(),
                    .settings = s3,
                    .blobs_prefix = blobs,
                    .read = {},
                    .written = {},
                    .parallel = s3.parallel,
                    .budget = attributes.duration("timeout")};
  for (const std::string& name : attributes.names()) place.written.push_back(configs + name);
  place.read.push_back({place.written.front()});  // only the first (F10.79)
  return place;
}

/// A directory's name, before names in it.
std::string with_slash(const std::string& directory) {
  return directory.empty() ? directory : directory + "/";
}

/// \throws Error without the URL, which may have a signature.
registry::Url parse_account_url(const std::string& text) {
  try {
    return registry::Url::parse(text);
  } catch (const Error&) {
    refuse("azure storage account url provided is not a valid url: use https://ACCOUNT.blob.core.windows.net");
  }
}

ObjectPlace azblob_place(const Attributes& attributes) {
  auto const url = attributes.find("account_url", "BUILDKIT_AZURE_STORAGE_ACCOUNT_URL");
  if (!url || url->empty()) {
    refuse("either ${BUILDKIT_AZURE_STORAGE_ACCOUNT_URL} or account_url attribute is required for "
           "azblob cache");
  }
  registry::Url const parsed = parse_account_url(*url);
  registry::AzblobSettings azure;
  azure.account_url = Secret(*url);
  azure.account_name = attributes.find("account_name", "BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME")
                           .value_or(parsed.host.substr(0, parsed.host.find('.')));
  if (azure.account_name.empty()) {
    refuse("unable to retrieve account name from account url or "
           "${BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME} or account_name attribute for azblob cache");
  }
  azure.container =
      attributes.find("container", "BUILDKIT_AZURE_STORAGE_CONTAINER").value_or("buildkit-cache");
  azure.prefix = with_slash(go_path::join(
      attributes.find("prefix", "BUILDKIT_AZURE_STORAGE_PREFIX").value_or(""), ""));
  azure.account_key = Secret(attributes.text("secret_access_key"));
  std::string const configs = attributes.text("manifests_prefix", "manifests");
  std::string const blobs = with_slash(go_path::join(attributes.text("blobs_prefix", "blobs"), ""));
  std::string const box = azure.account_name + "/" + azure.container + "/" + azure.prefix;
  ObjectPlace place{
      .name = "azblob:" + box,
      .identity = parsed.authority() + " " + box + blobs,
      .settings = azure,
      .blobs_prefix = blobs,
      .read = {},
      .written = {},
      .budget = attributes.duration("timeout")};
  for (const std::string& name : attributes.names()) {
    place.written.push_back(go_path::join(configs, name));
    place.read.push_back({place.written.back()});
  }
  return place;
}

/// Which of the two protocols is spoken, where. An unknown version is an error.
void choose_protocol(const Attributes& attributes, registry::GithubSettings& github) {
  auto const version = attributes.find("version");
  if (version && *version != "1" && *version != "2") {
    refuse("failed to parse api version " + go_quote(*version) + ", expected 1 or 2");
  }
  auto const service = attributes.variable("ACTIONS_CACHE_SERVICE_V2");
  bool const says_v2 =
      version ? *version == "2" : service && is_bool(*service) && parse_bool("", *service);
  auto url_v2 = attributes.find("url_v2");
  if (!url_v2 && says_v2) url_v2 = attributes.variable("ACTIONS_RESULTS_URL");
  auto url = attributes.find("url", "ACTIONS_CACHE_URL");
  if (!url) url = attributes.variable("ACTIONS_RESULTS_URL");
  if (!url && !url_v2) {
    refuse("cache with type gha requires url parameter to be set, or $ACTIONS_RESULTS_URL or "
           "$ACTIONS_CACHE_URL, which steps of GitHub Actions get from an action only");
  }
  bool const use_v2_url = url_v2 && version.value_or("") != "1";
  github.url = use_v2_url || !url ? *url_v2 : *url;
  github.v2 = use_v2_url || version.value_or("") == "2" ||
              (!version && github.url.find("results-receiver.actions.githubusercontent.com") !=
                               std::string::npos);
}

ObjectPlace github_place(const Attributes& attributes) {
  registry::GithubSettings github;
  choose_protocol(attributes, github);
  auto const token = attributes.find("token", "ACTIONS_RUNTIME_TOKEN");
  if (!token || token->empty()) {
    refuse("cache with type gha requires token parameter or $ACTIONS_RUNTIME_TOKEN");
  }
  github.token = Secret(*token);
  github.patience = attributes.duration("timeout").value_or(kGithubTimeout);
  github.repository = attributes.text("repository");
  github.api_token = Secret(attributes.text("ghtoken"));
  if (auto const api = attributes.variable("GITHUB_API_URL")) github.api_url = *api;
  std::string const scope = attributes.text("scope", kDefaultName);
  ObjectPlace place{.name = "gha:" + scope,
                    .identity = "gha",
                    .settings = github,
                    .blobs_prefix = "buildkit-blob-1-",
                    .read = {},
                    .written = {},
                    .budget = github.patience};
  auto const index = [&scope](const std::string& branch) {
    return "index-" + scope + "-1-" + Digest::of(branch).hex().substr(0, 8);
  };
  std::string written = index("");
  for (const auto& branch :
       registry::parse_github_token(*token, std::chrono::system_clock::now())) {
    place.read.push_back({.name = index(branch.name) + "#", .newest = true});
    if (branch.writable) written = index(branch.name);
  }
  place.written.push_back(written);
  return place;
}

}  // namespace

bool is_object_type(std::string_view type) noexcept {
  return std::ranges::find(kObjectTypes, type) != kObjectTypes.end();
}

std::optional<std::string> process_variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

ObjectPlace parse_object_place(const CacheOptions& cache, const FindVariable& variable) {
  Attributes const attributes(cache, variable);
  if (cache.type == "azblob") return azblob_place(attributes);
  if (cache.type == "gha") return github_place(attributes);
  return s3_place(attributes);
}

std::unique_ptr<oci::ObjectStore> open_object_store(const ObjectPlace& place,
                                                    asio::any_io_executor executor,
                                                    asio::thread_pool& pool,
                                                    registry::Options options) {
  auto const open = [&](const auto& settings) -> std::unique_ptr<oci::ObjectStore> {
    using Settings = std::decay_t<decltype(settings)>;
    if constexpr (std::is_same_v<Settings, registry::S3Settings>) {
      return registry::make_s3_store(executor, pool, std::move(options), settings);
    } else if constexpr (std::is_same_v<Settings, registry::AzblobSettings>) {
      return registry::make_azblob_store(executor, pool, std::move(options), settings);
    } else {
      return registry::make_github_cache(executor, pool, std::move(options), settings);
    }
  };
  return std::visit(open, place.settings);
}

Task<void> write_config(oci::ObjectStore& store, std::string name, std::string text) {
  if (auto* const github = dynamic_cast<registry::GithubCache*>(&store)) {
    co_await github->write_next(std::move(name), std::move(text));
    co_return;
  }
  std::uint64_t const size = text.size();
  co_await store.write(std::move(name), size, oci::open_text(std::move(text)));
}

}  // namespace cobuild::cli
