#include "registry/options.hpp"

#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

constexpr std::size_t kConfigBytesMax = 1024 * 1024;

/// Says where in which file something is wrong.
class Place {
 public:
  Place(std::string file, std::string table) : file_(std::move(file)), table_(std::move(table)) {}

  [[noreturn]] void refuse(const toml::node& node, const std::string& key,
                           std::string_view expected) const {
    throw Error(ErrorKind::kInvalidInput, file_ + ":" + std::to_string(node.source().begin.line) +
                                              ": " + table_ + "." + key + " must be " +
                                              std::string(expected));
  }

 private:
  std::string file_;
  std::string table_;
};

std::optional<bool> read_flag(const toml::table& table, const std::string& key,
                              const Place& place) {
  const toml::node* node = table.get(key);
  if (!node) return std::nullopt;
  if (!node->is_boolean()) place.refuse(*node, key, "true or false");
  return node->as_boolean()->get();
}

std::vector<std::string> read_texts(const toml::table& table, const std::string& key,
                                    const Place& place) {
  std::vector<std::string> texts;
  const toml::node* node = table.get(key);
  if (!node) return texts;
  if (!node->is_array()) place.refuse(*node, key, "a list of strings");
  for (const toml::node& item : *node->as_array()) {
    if (!item.is_string()) place.refuse(item, key, "a list of strings");
    texts.push_back(item.as_string()->get());
  }
  return texts;
}

std::vector<KeyPair> read_key_pairs(const toml::table& table, const Place& place) {
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

void read_host(const toml::table& table, const Place& place, HostOptions& host) {
  for (std::string& mirror : read_texts(table, "mirrors", place)) {
    host.mirrors.push_back(std::move(mirror));
  }
  if (auto plain = read_flag(table, "http", place)) host.plain_http = plain;
  if (auto insecure = read_flag(table, "insecure", place)) host.insecure = *insecure;
  append_paths(read_texts(table, "ca", place), host.ca_files);
  append_paths(read_texts(table, "tlsconfigdir", place), host.tls_dirs);
  for (KeyPair& pair : read_key_pairs(table, place)) host.key_pairs.push_back(std::move(pair));
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error::from_errno(errno, "open " + path.string());
  std::string text(kConfigBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (file.bad())
    throw Error(ErrorKind::kInvalidInput, "read " + path.string() + ": is it a file?");
  if (text.size() > kConfigBytesMax) {
    throw Error(ErrorKind::kInvalidInput,
                path.string() + " is longer than " + std::to_string(kConfigBytesMax) + " bytes");
  }
  return text;
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
  toml::table config;
  try {
    config = toml::parse(read_file(file), file.string());
  } catch (const toml::parse_error& error) {
    throw Error(ErrorKind::kInvalidInput, file.string() + ":" +
                                              std::to_string(error.source().begin.line) + ": " +
                                              std::string(error.description()));
  }
  const toml::node* registries = config.get("registry");
  if (!registries) return;
  Place const top(file.string(), "registry");
  if (!registries->is_table()) top.refuse(*registries, "", "a table of hosts");
  for (const auto& [key, node] : *registries->as_table()) {
    std::string const host(key.str());
    if (!node.is_table()) top.refuse(node, host, "a table");
    Place const place(file.string(), "registry.\"" + host + "\"");
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
