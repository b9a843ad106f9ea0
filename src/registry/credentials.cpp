#include "registry/credentials.hpp"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>
#include <iterator>
#include <utility>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/sys/process.hpp"
#include "registry/base64.hpp"
#include "registry/registry_error.hpp"

extern char** environ;

namespace cobuild::registry {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

constexpr std::size_t kConfigBytesMax = 16 * 1024 * 1024;
constexpr std::size_t kHelperOutputMax = 1024 * 1024;
constexpr std::string_view kDockerHubKey = "https://index.docker.io/v1/";
constexpr std::string_view kTokenUser = "<token>";  // says that the secret is an identity token
constexpr std::string_view kNotFoundMessage = "credentials not found in native keychain";

Error malformed(const std::string& path, std::string_view what) {
  return Error(ErrorKind::kInvalidInput, path + ": " + std::string(what));
}

json::object parse_object(std::string_view text, const std::string& path) {
  json::error_code error;
  json::value value = json::parse(text, error);
  if (error) throw malformed(path, "is not valid JSON: " + error.message());
  if (!value.is_object()) throw malformed(path, "is not a JSON object");
  return std::move(value.get_object());
}

const json::object* object_member(const json::object& object, std::string_view name,
                                  const std::string& path) {
  const json::value* value = object.if_contains(name);
  if (!value || value->is_null()) return nullptr;
  if (!value->is_object()) throw malformed(path, std::string(name) + " is not an object");
  return &value->get_object();
}

std::string text_member(const json::object& object, std::string_view name,
                        const std::string& path) {
  const json::value* value = object.if_contains(name);
  if (!value || value->is_null()) return {};
  if (!value->is_string()) throw malformed(path, std::string(name) + " is not a string");
  return std::string(value->get_string());
}

Credentials read_auth(const std::string& host, const json::object& entry, const std::string& path) {
  Credentials credentials;
  credentials.source = path;
  credentials.username = text_member(entry, "username", path);
  credentials.password = Secret(text_member(entry, "password", path));
  credentials.identity_token = Secret(text_member(entry, "identitytoken", path));
  credentials.registry_token = Secret(text_member(entry, "registrytoken", path));
  std::string const auth = text_member(entry, "auth", path);
  if (auth.empty()) return credentials;
  auto decoded = base64_decode(auth);
  auto const colon = decoded ? decoded->find(':') : std::string::npos;
  if (colon == std::string::npos) {
    throw malformed(path, "auth of " + host + " is not the base64 of user:password");
  }
  std::string password = decoded->substr(colon + 1);
  while (password.ends_with('\0')) password.pop_back();  // some tools pad it
  credentials.username = decoded->substr(0, colon);
  credentials.password = Secret(std::move(password));
  return credentials;
}

bool is_helper_name(std::string_view name) {
  return !name.empty() && name.find('/') == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

std::vector<std::string> whole_environment() {
  std::vector<std::string> variables;
  for (char** entry = environ; entry && *entry; ++entry) variables.emplace_back(*entry);
  return variables;
}

/// Asks `program` for the credentials of `key`. \throws Error kDenied when it cannot be run.
Task<CapturedOutput> run_helper(fs::path program, std::string name, std::string key) {
  ProcessOptions process;
  process.program = std::move(program);
  process.args = {std::move(name), "get"};
  process.env = whole_environment();
  try {
    co_return co_await run_program(std::move(process), std::move(key), kHelperOutputMax);
  } catch (const Error& error) {
    throw Error(ErrorKind::kDenied, error.what());
  }
}

DockerConfig load(const fs::path& path) {
  if (path.empty()) return {};
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    int const error = errno;
    if (error == ENOENT || error == ENOTDIR) return {};
    throw Error::from_errno(error, "read " + path.string());
  }
  std::string text;
  std::vector<char> buffer(64 * 1024);
  while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) ||
         file.gcount() > 0) {
    text.append(buffer.data(), static_cast<std::size_t>(file.gcount()));
    if (text.size() > kConfigBytesMax) throw malformed(path.string(), "is too long");
  }
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) return {};
  return parse_docker_config(text, path.string());
}

class DockerCredentials final : public CredentialSource {
 public:
  DockerCredentials(asio::any_io_executor executor, asio::thread_pool& pool, const Options& options)
      : executor_(executor),
        pool_(pool),
        path_(docker_config_path(options)),
        helper_timeout_(options.helper_timeout),
        config_(executor, [this] { return read(); }) {}

  Task<std::optional<Credentials>> find(std::string host) override {
    std::string key = config_key(host);
    auto& shared = by_key_[key];
    if (!shared) {
      auto compute = [this, key] { return look_up(key); };
      shared =
          std::make_unique<Shared<std::optional<Credentials>>>(executor_, std::move(compute));
    }
    co_return co_await shared->get();
  }

  std::string describe() const override {
    return path_.empty() ? "~/.docker/config.json" : path_.string();
  }

 private:
  Task<DockerConfig> read() {
    auto work = [path = path_] { return load(path); };
    co_return co_await offload(pool_, std::move(work));
  }

  Task<std::optional<Credentials>> look_up(std::string key) {
    DockerConfig const config = co_await config_.get();
    std::string helper = config.default_helper;
    if (auto named = config.helpers.find(key); named != config.helpers.end())
      helper = named->second;
    if (!helper.empty()) {
      if (auto found = co_await ask_helper(helper, key)) co_return found;
    }
    auto found = config.auths.find(key);
    if (found == config.auths.end()) co_return std::nullopt;
    const Credentials& c = found->second;
    // An empty entry says only that a helper has it.
    if (c.username.empty() && c.identity_token.empty() && c.registry_token.empty()) {
      co_return std::nullopt;
    }
    co_return c;
  }

  Task<std::optional<Credentials>> ask_helper(std::string helper, std::string key) {
    std::string const name = "docker-credential-" + helper;
    auto const program = is_helper_name(helper) ? find_program(name) : std::nullopt;
    if (!program) {
      throw Error(ErrorKind::kNotFound,
                  "credential helper " + name + ", which " + describe() +
                      " names, is not on PATH: install it, or remove it there");
    }
    CapturedOutput const output = co_await run_in_time(*program, name, key);
    if (output.exit.success()) co_return read_answer(output.out, name, key);
    std::string const said = output.out + output.err;
    if (said.find(kNotFoundMessage) != std::string::npos) co_return std::nullopt;
    std::string const words = registry_message(said);
    throw Error(ErrorKind::kDenied, "credential helper " + name + ": " + to_string(output.exit) +
                                        (words.empty() ? "" : ": " + words));
  }

  Task<CapturedOutput> run_in_time(fs::path program, std::string name, std::string key) {
    try {
      co_return co_await with_timeout(run_helper(std::move(program), name, key), helper_timeout_);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kUnavailable) {
        throw error.with_context("credential helper " + name);
      }
      auto const limit = std::chrono::ceil<std::chrono::seconds>(helper_timeout_);
      throw Error(ErrorKind::kDenied, "credential helper " + name + ": no answer within " +
                                          std::to_string(limit.count()) +
                                          " s (twice --registry-timeout), so it was killed; " +
                                          advice(name, key));
    }
  }

  [[nodiscard]] Credentials read_answer(const std::string& answer, const std::string& name,
                                        const std::string& key) const {
    try {
      if (answer.size() >= kHelperOutputMax) throw malformed(name, "wrote more than 1 MiB");
      return parse_helper_output(answer, name);
    } catch (const Error& error) {
      throw Error(ErrorKind::kDenied,
                  "credential helper " + std::string(error.what()) + "; " + advice(name, key));
    }
  }

  /// What the user can do about a helper that is of no use.
  [[nodiscard]] std::string advice(const std::string& name, const std::string& key) const {
    return "see what `echo " + key + " | " + name + " get` does, or remove it from " + describe();
  }

  asio::any_io_executor executor_;
  asio::thread_pool& pool_;
  fs::path path_;
  std::chrono::milliseconds helper_timeout_;
  Shared<DockerConfig> config_;
  std::map<std::string, std::unique_ptr<Shared<std::optional<Credentials>>>> by_key_;
};

}  // namespace

std::string config_key(std::string_view host) {
  for (std::string_view scheme : {"https://", "http://"}) {
    if (host.starts_with(scheme)) host.remove_prefix(scheme.size());
  }
  host = host.substr(0, host.find('/'));
  if (host == "docker.io" || host == "index.docker.io" || host == "registry-1.docker.io") {
    return std::string(kDockerHubKey);
  }
  return std::string(host);
}

DockerConfig parse_docker_config(std::string_view text, const std::string& path) {
  json::object const object = parse_object(text, path);
  DockerConfig config;
  if (const json::object* auths = object_member(object, "auths", path)) {
    for (const auto& member : *auths) {
      std::string const host(member.key());
      if (!member.value().is_object()) throw malformed(path, "auths of " + host + " is no object");
      config.auths[config_key(host)] = read_auth(host, member.value().get_object(), path);
    }
  }
  if (const json::object* helpers = object_member(object, "credHelpers", path)) {
    for (const auto& member : *helpers) {
      std::string const host(member.key());
      config.helpers[config_key(host)] = text_member(*helpers, host, path);
    }
  }
  config.default_helper = text_member(object, "credsStore", path);
  return config;
}

Credentials parse_helper_output(std::string_view text, const std::string& helper) {
  json::object const object = parse_object(text, helper);
  Credentials credentials;
  credentials.source = helper;
  credentials.username = text_member(object, "Username", helper);
  Secret secret(text_member(object, "Secret", helper));
  if (credentials.username == kTokenUser) {
    credentials.username.clear();
    credentials.identity_token = std::move(secret);
  } else {
    credentials.password = std::move(secret);
  }
  return credentials;
}

fs::path docker_config_path(const Options& options) {
  if (!options.docker_config.empty()) return options.docker_config;
  if (auto directory = options.environment.variable("DOCKER_CONFIG");
      directory && !directory->empty()) {
    return fs::path(*directory) / "config.json";
  }
  auto home = options.environment.variable("HOME");
  if (!home || home->empty()) return {};
  return fs::path(*home) / ".docker" / "config.json";
}

std::unique_ptr<CredentialSource> make_docker_credentials(asio::any_io_executor executor,
                                                          asio::thread_pool& pool,
                                                          const Options& options) {
  return std::make_unique<DockerCredentials>(std::move(executor), pool, options);
}

}  // namespace cobuild::registry
