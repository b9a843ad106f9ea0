#include "registry/options.hpp"

#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "registry/toml_file.hpp"

namespace cobuild::registry {
namespace {

std::vector<KeyPair> read_key_pairs(const toml::table& table, const TomlPlace& place) {
  std::vector<KeyPair> pairs;
  const toml::node* node = table.get("keypair");
  if (!node) return pairs;
  constexpr std::string_view kExpected = "a list of tables with key and cert";
  if (!node->is_array()) place.refuse(*node, "keypair", kExpected);
  for (const toml::node& item : *node->as_array()) {
    const toml::table* entry = item.as_table();
    auto const key = entry ? (*entry)["key"].value<std::string>() : std::nullopt;
    auto const certificate = entry ? (*entry)["cert"].value<std::string>() : std::nullopt;
    if (!key || !certificate) place.refuse(item, "keypair", kExpected);
    pairs.push_back({.key = *key, .certificate = *certificate});
  }
  return pairs;
}

void append_paths(const std::vector<std::string>& texts,
                  std::vector<std::filesystem::path>& paths) {
  paths.insert(paths.end(), texts.begin(), texts.end());
}

void read_host(const toml::table& table, const TomlPlace& place, HostOptions& host) {
  for (std::string& mirror : read_texts(table, "mirrors", place)) {
    host.mirrors.push_back(std::move(mirror));
  }
  if (auto plain = read_flag(table, "http", place)) host.plain_http = plain;
  if (auto insecure = read_flag(table, "insecure", place)) host.insecure = *insecure;
  append_paths(read_texts(table, "ca", place), host.ca_files);
  append_paths(read_texts(table, "tlsconfigdir", place), host.tls_dirs);
  for (KeyPair& pair : read_key_pairs(table, place)) host.key_pairs.push_back(std::move(pair));
}

/// [system]: how many transfers one registry is asked for at once (F4.7.4).
void read_system(const toml::table& config, const std::filesystem::path& file, Options& options) {
  const toml::table* system = config["system"].as_table();
  const toml::node* most = system ? system->get("maxRegistryConcurrency") : nullptr;
  if (!most) return;
  TomlPlace const place(file.string(), "system");
  auto const number = most->value<std::int64_t>();
  if (!most->is_integer() || *number < 1) {
    place.refuse(*most, "maxRegistryConcurrency", "a number greater than zero");
  }
  options.transfers_per_host_max = static_cast<std::size_t>(*number);
}

/// "HOST=VALUE" or "VALUE". A value with a slash before its '=' is a path, not a host.
std::pair<std::string, std::string> split_argument(std::string_view argument) {
  auto const equals = argument.find('=');
  if (equals == std::string_view::npos ||
      argument.substr(0, equals).find('/') != std::string_view::npos) {
    return {std::string(), std::string(argument)};
  }
  return {std::string(argument.substr(0, equals)), std::string(argument.substr(equals + 1))};
}

}  // namespace

void load_buildkitd_config(const std::filesystem::path& file, Options& options) {
  toml::table const config = parse_toml(read_config_file(file), file);
  read_system(config, file, options);
  const toml::node* registries = config.get("registry");
  if (!registries) return;
  TomlPlace const top(file.string(), "registry");
  if (!registries->is_table()) top.refuse(*registries, "", "a table of hosts");
  for (const auto& [key, node] : *registries->as_table()) {
    std::string const host(key.str());
    if (!node.is_table()) top.refuse(node, host, "a table");
    TomlPlace const place(file.string(), "registry.\"" + host + "\"");
    read_host(*node.as_table(), place, options.hosts[host]);
  }
}

void add_mirror(std::string_view argument, Options& options) {
  auto [host, mirror] = split_argument(argument);
  if (mirror.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "--mirror " + std::string(argument) + ": must be MIRROR or HOST=MIRROR");
  }
  options.hosts[host.empty() ? "docker.io" : host].mirrors.push_back(std::move(mirror));
}

void add_insecure_registry(std::string_view host, Options& options) {
  for (std::string_view const scheme : {"http://", "https://"}) {
    if (host.starts_with(scheme)) host.remove_prefix(scheme.size());
  }
  while (host.ends_with('/')) host.remove_suffix(1);
  if (host.empty() || host.find('/') != std::string_view::npos) {
    throw Error(ErrorKind::kInvalidInput,
                "--insecure-registry " + std::string(host) + ": must be HOST or HOST:PORT");
  }
  options.hosts[std::string(host)].insecure = true;
}

void add_registry_ca(std::string_view argument, Options& options) {
  auto [host, file] = split_argument(argument);
  if (file.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "--registry-ca " + std::string(argument) + ": must be FILE or HOST=FILE");
  }
  auto& files = host.empty() ? options.ca_files : options.hosts[host].ca_files;
  files.emplace_back(std::move(file));
}

}  // namespace cobuild::registry
