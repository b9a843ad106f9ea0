#include "registry/aws_credentials.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/base/go_time.hpp"
#include "core/sys/file_io.hpp"
#include "registry/xml.hpp"

namespace cobuild::registry {
namespace {

namespace json = boost::json;

constexpr std::size_t kFileBytesMax = std::size_t{1} << 20;
/// Keys are had anew when they have no longer than this.
constexpr std::chrono::minutes kSpareLife{5};
constexpr std::chrono::seconds kMachineTimeout{2};
/// Where ECS and EC2 tell containers and machines who they are.
constexpr const char* kContainerBase = "http://169.254.170.2";
constexpr const char* kMachineBase = "http://169.254.169.254";
constexpr const char* kRolePath = "/latest/meta-data/iam/security-credentials/";

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  std::size_t const begin = std::min(text.find_first_not_of(kBlanks), text.size());
  text.remove_prefix(begin);
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  });
  return out;
}

/// Once, and soon.
RetryPolicy once() {
  RetryPolicy policy;
  policy.attempts_max = 1;
  return policy;
}

Task<Request> make(Request request) { co_return request; }

/// What is there to be read from `path`, "" when nothing is.
Task<std::string> read_text(asio::thread_pool& pool, std::filesystem::path path) {
  auto read = [path] { return read_file_if_exists(path, kFileBytesMax).value_or(""); };
  co_return co_await offload(pool, read);
}

std::string member(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

}  // namespace

std::map<std::string, std::string> find_aws_profile(std::string_view text,
                                                    const std::string& profile,
                                                    bool is_config_file) {
  std::string const wanted =
      is_config_file && profile != "default" ? "profile " + profile : profile;
  std::map<std::string, std::string> found;
  bool inside = false;
  while (!text.empty()) {
    std::size_t const end = std::min(text.find('\n'), text.size());
    std::string_view const whole = text.substr(0, end);
    std::string_view const line = trim(whole);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      inside = trim(line.substr(1, line.find(']') - 1)) == wanted;
      continue;
    }
    std::size_t const equals = line.find('=');
    bool const nested = whole.front() == ' ' || whole.front() == '\t';  // as under "s3 ="
    if (!inside || nested || equals == std::string_view::npos || equals == 0) continue;
    found[lower(trim(line.substr(0, equals)))] = std::string(trim(line.substr(equals + 1)));
  }
  return found;
}

AwsCredentials::AwsCredentials(asio::any_io_executor executor, asio::thread_pool& pool,
                               Transport& transport, const Options& options, std::string region,
                               std::optional<AwsKeys> given)
    : pool_(pool),
      options_(options),
      calls_(transport, options, options.retry, options.retry.retry_after_max),
      calls_once_(transport, options, once(), std::chrono::milliseconds(0)),
      region_(std::move(region)),
      turn_(std::move(executor), 1) {
  if (given) lease_ = Lease{*std::move(given), std::nullopt};
}

std::string AwsCredentials::variable(const char* name) const {
  return options_.environment.variable(name).value_or("");
}

Task<AwsKeys> AwsCredentials::get() {
  auto const turn = co_await turn_.acquire();
  bool const good =
      lease_ && (!lease_->until || options_.environment.now() + kSpareLife < *lease_->until);
  if (!good) lease_ = co_await look_up();
  co_return lease_->keys;
}

Task<AwsCredentials::Lease> AwsCredentials::look_up() {
  auto const either = [this](const char* name, const char* older) {
    std::string value = variable(name);
    return value.empty() ? variable(older) : value;
  };
  AwsKeys keys{either("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"),
               Secret(either("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY")),
               Secret(variable("AWS_SESSION_TOKEN"))};
  if (!keys.access_key_id.empty() && !keys.secret_access_key.empty()) {
    co_return Lease{std::move(keys), std::nullopt};
  }
  std::string token_file = variable("AWS_WEB_IDENTITY_TOKEN_FILE");
  if (!token_file.empty()) {
    co_return co_await take_role(std::move(token_file), variable("AWS_ROLE_ARN"),
                                 variable("AWS_ROLE_SESSION_NAME"));
  }
  if (auto lease = co_await from_profile()) co_return *std::move(lease);
  if (auto lease = co_await from_container()) co_return *std::move(lease);
  if (auto lease = co_await from_machine()) co_return *std::move(lease);
  throw Error(ErrorKind::kDenied,
              "no AWS credentials: give access_key_id and secret_access_key, $AWS_ACCESS_KEY_ID and "
              "$AWS_SECRET_ACCESS_KEY, or a profile in ~/.aws/credentials ($AWS_PROFILE)");
}

Task<AwsCredentials::Profile> AwsCredentials::read_profile(std::string name) {
  std::string const home = variable("HOME");
  auto const file = [&](const char* named, const char* usual) -> std::string {
    std::string const path = variable(named);
    if (!path.empty() || home.empty()) return path;
    return home + "/.aws/" + usual;
  };
  std::string const config_path = file("AWS_CONFIG_FILE", "config");
  std::string const keys_path = file("AWS_SHARED_CREDENTIALS_FILE", "credentials");
  std::string const config = co_await read_text(pool_, config_path);
  std::string const keys = co_await read_text(pool_, keys_path);
  Profile profile = find_aws_profile(keys, name, false);
  profile.merge(find_aws_profile(config, name, true));
  co_return profile;
}

Task<std::optional<AwsCredentials::Lease>> AwsCredentials::from_profile() {
  std::string const named = variable("AWS_PROFILE");
  std::string const name = named.empty() ? "default" : named;
  Profile profile = co_await read_profile(name);
  if (profile.empty() && named.empty()) co_return std::nullopt;
  if (profile.contains("aws_access_key_id") && profile.contains("aws_secret_access_key")) {
    co_return Lease{{profile["aws_access_key_id"], Secret(profile["aws_secret_access_key"]),
                     Secret(profile["aws_session_token"])},
                    std::nullopt};
  }
  if (profile.contains("web_identity_token_file")) {
    co_return co_await take_role(profile["web_identity_token_file"], profile["role_arn"],
                                 profile["role_session_name"]);
  }
  if (named.empty() && !profile.contains("role_arn") && !profile.contains("sso_session") &&
      !profile.contains("sso_start_url") && !profile.contains("credential_process")) {
    co_return std::nullopt;  // It has a region, say.
  }
  throw Error(ErrorKind::kDenied,
              "the AWS profile " + name +
                  " has no keys and no web_identity_token_file, and other kinds of profiles cannot be "
                  "used: aws configure export-credentials --format env gives variables that can");
}

Task<AwsCredentials::Lease> AwsCredentials::take_role(std::string token_file, std::string role,
                                                      std::string session) {
  std::string const token = co_await read_text(pool_, token_file);
  if (token.empty() || role.empty()) {
    throw Error(ErrorKind::kDenied, "AWS web identity: " + (role.empty() ? "$AWS_ROLE_ARN is not set"
                                                                         : token_file + " is empty or missing"));
  }
  std::string endpoint = variable("AWS_ENDPOINT_URL_STS");
  if (endpoint.empty()) endpoint = "https://sts." + region_ + ".amazonaws.com";
  Request request;
  request.method = Method::kPost;
  request.url = Url::parse(endpoint);
  request.headers.add("Content-Type", "application/x-www-form-urlencoded");
  request.body = "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" +
                 percent_encode(role) + "&RoleSessionName=" +
                 percent_encode(session.empty() ? "cobuild" : session) +
                 "&WebIdentityToken=" + percent_encode(trim(std::string_view(token).substr(
                                            0, std::string_view(token).find('\n'))));
  Answer const answer = co_await calls_.call([&request] { return make(request); });
  if (!answer.is_success()) throw refusal(answer).with_context("AWS role " + role);
  auto const xml = try_parse_xml(answer.body);
  const XmlElement* const result = xml ? xml->find("AssumeRoleWithWebIdentityResult") : nullptr;
  const XmlElement* const keys = result ? result->find("Credentials") : nullptr;
  if (keys == nullptr) {
    throw Error(ErrorKind::kCorrupt, "AWS role " + role + ": the answer has no credentials");
  }
  co_return Lease{{keys->text_of("AccessKeyId"), Secret(keys->text_of("SecretAccessKey")),
                   Secret(keys->text_of("SessionToken"))},
                  std::chrono::time_point_cast<std::chrono::system_clock::duration>(
                      try_parse_rfc3339(keys->text_of("Expiration")).value_or(Timestamp()))};
}

/// What containers and machines are told.
Task<AwsCredentials::Lease> AwsCredentials::fetch_json(Request request) {
  Answer const answer = co_await calls_once_.call([&request] { return make(request); });
  if (!answer.is_success()) throw refusal(answer).with_context("AWS credentials");
  json::error_code error;
  json::value const value = json::parse(answer.body, error);
  if (error || !value.is_object()) {
    throw Error(ErrorKind::kCorrupt, answer.url.to_display() + " has no credentials");
  }
  const json::object& object = value.get_object();
  Lease lease{{member(object, "AccessKeyId"), Secret(member(object, "SecretAccessKey")),
               Secret(member(object, "Token"))},
              std::nullopt};
  if (auto const until = try_parse_rfc3339(member(object, "Expiration"))) {
    lease.until = std::chrono::time_point_cast<std::chrono::system_clock::duration>(*until);
  }
  co_return lease;
}

Task<std::optional<AwsCredentials::Lease>> AwsCredentials::from_container() {
  std::string url = variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  std::string const relative = variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  if (!relative.empty()) url = kContainerBase + relative;
  if (url.empty()) co_return std::nullopt;
  Request request;
  request.url = Url::parse(url);
  std::string token = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  std::string file = variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  if (!file.empty()) token = trim(co_await read_text(pool_, std::move(file)));
  if (!token.empty()) request.headers.add("Authorization", token);
  co_return co_await fetch_json(std::move(request));
}

Task<std::optional<AwsCredentials::Lease>> AwsCredentials::from_machine() {
  if (lower(variable("AWS_EC2_METADATA_DISABLED")) == "true") co_return std::nullopt;
  std::string base = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  if (base.empty()) base = kMachineBase;
  while (base.ends_with('/')) base.pop_back();
  Request ask;
  ask.method = Method::kPut;
  ask.url = Url::parse(base + "/latest/api/token");
  ask.headers.add("X-aws-ec2-metadata-token-ttl-seconds", "21600");
  Request request;
  try {
    Answer const token = co_await with_timeout(
        calls_once_.call([&ask] { return make(ask); }), kMachineTimeout);
    if (!token.is_success()) co_return std::nullopt;
    request.headers.add("X-aws-ec2-metadata-token", token.body);
    request.url = Url::parse(base + kRolePath);
    Answer const role = co_await calls_once_.call([&request] { return make(request); });
    if (!role.is_success()) co_return std::nullopt;
    request.url = Url::parse(base + kRolePath + role.body.substr(0, role.body.find('\n')));
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    co_return std::nullopt;  // This is no machine of AWS.
  }
  co_return co_await fetch_json(std::move(request));
}

}  // namespace cobuild::registry
