#include <boost/json.hpp>

#include <algorithm>
#include <cstdlib>

#include "cli/option_tables.hpp"
#include "cli/push_options.hpp"
#include "core/base/error.hpp"
#include "core/base/go_csv.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::cli {
namespace {

namespace json = boost::json;

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kInvalidInput, what); }

/// cache-imports, as buildctl and buildx hand it to a frontend: [{"Type": ..., "Attrs": {...}}].
std::vector<CacheOptions> parse_cache_imports(const std::string& text) {
  std::vector<CacheOptions> caches;
  try {
    json::value const value = json::parse(text);
    for (const json::value& entry : value.as_array()) {
      CacheOptions cache{std::string(entry.at("Type").as_string()), {}};
      if (const json::value* const attributes = entry.as_object().if_contains("Attrs")) {
        for (const auto& [key, attribute] : attributes->as_object()) {
          cache.attributes[key] = std::string(attribute.as_string());
        }
      }
      caches.push_back(std::move(cache));
    }
  } catch (const std::exception&) {
    // Not the text itself, which may have keys in it.
    refuse("failed to unmarshal cache-imports:"
           " use [{\"Type\": \"registry\", \"Attrs\": {\"ref\": \"NAME\"}}]");
  }
  return caches;
}

/// Frontend options that say it too are taken over.
void take_frontend_imports(BuildOptions& build) {
  auto& options = build.frontend_options;
  if (auto const found = options.find("cache-imports"); found != options.end()) {
    for (CacheOptions& cache : parse_cache_imports(found->second)) {
      build.cache_imports.push_back(std::move(cache));
    }
    options.erase(found);
  }
  if (auto const found = options.find("cache-from"); found != options.end()) {
    if (!found->second.empty()) {
      for (std::string& name : go_csv_fields(found->second)) {
        build.cache_imports.push_back({"registry", {{"ref", std::move(name)}}});
      }
    }
    options.erase(found);
  }
}

/// Docker's scripts have type=gha on machines where GitHub's service is not to be had, too: buildx passes
/// over it there. Here its step fails, and says why, and the build goes on.
void forgive_missing_service(CacheOptions& cache) {
  if (cache.type != "gha") return;
  auto const given = [&cache](const char* key, const char* variable) {
    return cache.attributes.contains(key) || std::getenv(variable) != nullptr;
  };
  bool const has_url = given("url", "ACTIONS_CACHE_URL") || given("url_v2", "ACTIONS_RESULTS_URL");
  if (has_url && given("token", "ACTIONS_RUNTIME_TOKEN")) return;
  cache.attributes.insert_or_assign("ignore-error", "true");
}

/// Registries that an attribute allows to be insecure.
void allow_insecure(const std::vector<CacheOptions>& caches, GlobalOptions& global) {
  for (const CacheOptions& cache : caches) {
    auto const insecure = cache.attributes.find("registry.insecure");
    auto const name = cache.attributes.find("ref");
    if (insecure == cache.attributes.end() || name == cache.attributes.end()) continue;
    if (!parse_bool("registry.insecure", insecure->second)) continue;
    if (auto const reference = oci::Reference::try_parse(name->second)) {
      global.insecure_registries.push_back(reference->registry);
    }
  }
}

}  // namespace

std::vector<CacheOptions> parse_cache(const std::string& text, std::string_view flag) {
  std::vector<CacheOptions> caches;
  if (text.empty()) return caches;
  std::vector<std::string> const fields = go_csv_fields(text);
  if (text.find('=') == std::string::npos) {  // names only
    for (const std::string& field : fields) caches.push_back({"registry", {{"ref", field}}});
    return caches;
  }
  CacheOptions cache;
  for (const std::string& field : fields) {
    std::size_t const equals = field.find('=');
    if (equals == std::string::npos) refuse("invalid value " + field);
    std::string key = field.substr(0, equals);
    std::ranges::transform(key, key.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (key == "type") {
      cache.type = field.substr(equals + 1);
    } else {
      cache.attributes[std::move(key)] = field.substr(equals + 1);
    }
  }
  if (cache.type.empty()) refuse("--" + std::string(flag) + " requires type=<type>");
  caches.push_back(std::move(cache));
  return caches;
}

void read_cache_options(const ParsedFlags& flags, BuildOptions& build) {
  auto const read = [&](std::string_view flag, std::vector<CacheOptions>& out) {
    for (const std::string& text : flags.all(flag)) {
      for (CacheOptions& cache : parse_cache(text, flag)) {
        if (flag.starts_with("cache-")) forgive_missing_service(cache);
        // Docker's scripts repeat themselves.
        if (std::ranges::find(out, cache) == out.end()) out.push_back(std::move(cache));
      }
    }
  };
  read("export-cache", build.cache_exports);
  read("cache-to", build.cache_exports);
  read("import-cache", build.cache_imports);
  read("cache-from", build.cache_imports);
  read("cache-mounts-to", build.mounts_to);
  read("cache-mounts-from", build.mounts_from);
  take_frontend_imports(build);
  for (const auto* caches : {&build.cache_imports, &build.mounts_to, &build.mounts_from}) {
    allow_insecure(*caches, build.global);
  }
}

}  // namespace cobuild::cli
