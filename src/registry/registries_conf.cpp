#include "registry/options.hpp"

#include <algorithm>
#include <cstdlib>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "core/base/error.hpp"
#include "registry/toml_file.hpp"

namespace cobuild::registry {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kDirectoryEntriesMax = 10000;

std::optional<std::string> non_empty(const Options& options, const std::string& name) {
  std::optional<std::string> value;
  if (options.environment.variable) {
    value = options.environment.variable(name);
  } else if (const char* set = std::getenv(name.c_str())) {
    value = set;
  }
  if (value && value->empty()) value.reset();
  return value;
}

/// The entries of a directory, sorted; one that cannot be read has none.
std::vector<fs::path> entries_of(const fs::path& directory) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator it(directory, error);
       !error && it != fs::directory_iterator() && found.size() < kDirectoryEntriesMax;
       it.increment(error)) {
    found.push_back(it->path());
  }
  std::ranges::sort(found);
  return found;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

std::string read_location(const toml::table& table, const std::string& key,
                          const TomlPlace& place) {
  std::string location = read_text(table, key, place);
  bool const is_clean = std::ranges::all_of(location, [](char c) { return c > ' ' && c <= '~'; });
  if (!is_clean || location.find("://") != std::string::npos) {
    place.refuse(*table.get(key), key, "a host, with a path if need be, without https://");
  }
  while (location.ends_with('/')) location.pop_back();
  return location;
}

/// The host of "host[:port]/path"; "*.domain" is its own.
std::string host_of(const std::string& location) {
  return location.substr(0, location.find('/'));
}

MirrorLocation::Use read_use(const toml::table& table, const TomlPlace& place) {
  std::string const text = read_text(table, "pull-from-mirror", place);
  if (text == "digest-only") return MirrorLocation::Use::kByDigest;
  if (text == "tag-only") return MirrorLocation::Use::kByTag;
  if (!text.empty() && text != "all") {
    place.refuse(*table.get("pull-from-mirror"), "pull-from-mirror",
                 "all, digest-only or tag-only");
  }
  return MirrorLocation::Use::kAlways;
}

void read_mirrors(const toml::table& registry, const std::string& file, RegistryRule& rule,
                  Options& options) {
  const toml::node* node = registry.get("mirror");
  if (!node) return;
  TomlPlace const place(file, "registry.mirror");
  if (!node->is_array_of_tables()) place.refuse(*node, "", "a list of tables");
  bool const only_by_digest =
      read_flag(registry, "mirror-by-digest-only", TomlPlace(file, "registry")).value_or(false);
  for (const toml::node& item : *node->as_array()) {
    const toml::table& table = *item.as_table();
    MirrorLocation mirror{.location = read_location(table, "location", place),
                          .use = read_use(table, place)};
    if (mirror.location.empty()) place.refuse(item, "location", "set");
    if (only_by_digest) mirror.use = MirrorLocation::Use::kByDigest;
    if (read_flag(table, "insecure", place).value_or(false)) {
      options.hosts[host_of(mirror.location)].insecure = true;
    }
    rule.mirrors.push_back(std::move(mirror));
  }
}

/// A rule replaces one of the same prefix that was read before it.
void read_registry(const toml::node& node, const std::string& file, Options& options) {
  TomlPlace const place(file, "registry");
  const toml::table& table = *node.as_table();
  RegistryRule rule{.location = read_location(table, "location", place),
                    .blocked = read_flag(table, "blocked", place).value_or(false),
                    .mirrors = {},
                    .source = file};
  std::string prefix = read_location(table, "prefix", place);
  if (prefix.empty()) prefix = rule.location;
  if (prefix.empty()) place.refuse(node, "prefix", "set, or location");
  read_mirrors(table, file, rule, options);
  if (read_flag(table, "insecure", place).value_or(false)) {
    options.hosts[host_of(rule.location.empty() ? prefix : rule.location)].insecure = true;
  }
  options.rules.insert_or_assign(std::move(prefix), std::move(rule));
}

void read_registries_conf(const fs::path& file, Options& options) {
  std::string const text = read_config_file(file);
  // Most have but short names, which are of no interest, and parsing them takes time.
  if (text.find("[registry]") == std::string::npos) return;
  toml::table const config = parse_toml(text, file);
  const toml::node* registries = config.get("registry");
  if (!registries) return;
  if (!registries->is_array_of_tables()) {
    TomlPlace(file.string(), "registry").refuse(*registries, "", "a list of tables, [[registry]]");
  }
  for (const toml::node& node : *registries->as_array()) {
    read_registry(node, file.string(), options);
  }
}

void read_drop_ins(const fs::path& directory, Options& options) {
  for (const fs::path& file : entries_of(directory)) {
    if (file.extension() == ".conf") read_registries_conf(file, options);
  }
}

/// Which files there are, in the order in which containers' own tools read them.
void read_all_registries_conf(const fs::path& home, const fs::path& etc, Options& options) {
  fs::path const system = etc / "containers";
  auto const named = non_empty(options, "CONTAINERS_REGISTRIES_CONF");
  bool const user_only = !named && !home.empty() && is_there(home / "registries.conf");
  if (named) {
    read_registries_conf(*named, options);
  } else if (user_only) {
    read_registries_conf(home / "registries.conf", options);
  } else if (is_there(system / "registries.conf")) {
    read_registries_conf(system / "registries.conf", options);
  }
  if (!user_only) read_drop_ins(system / "registries.conf.d", options);
  if (!home.empty()) read_drop_ins(home / "registries.conf.d", options);
}

}  // namespace

void load_system_config(Options& options, const fs::path& etc) {
  fs::path home;
  if (auto const set = non_empty(options, "HOME")) home = fs::path(*set) / ".config/containers";
  read_all_registries_conf(home, etc, options);

  std::set<std::string> seen;
  for (const fs::path& place : {home, etc / "containers", etc / "docker"}) {
    if (place.empty()) continue;
    for (const fs::path& directory : entries_of(place / "certs.d")) {
      std::string const host = directory.filename().string();
      if (seen.insert(host).second) options.hosts[host].tls_dirs.push_back(directory);
    }
  }
}

}  // namespace cobuild::registry
