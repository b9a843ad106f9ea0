#include "cli/push_options.hpp"

#include <algorithm>
#include <string_view>

#include "core/base/error.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::cli {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kInvalidInput, what); }

/// As oci::Reference::parse, saying of what.
oci::Reference parse_name(const std::string& name) {
  try {
    return oci::Reference::parse(name);
  } catch (const Error& e) {
    throw e.with_context("failed to parse " + name);
  }
}

std::vector<std::string> parse_names(const std::string& value) {
  std::vector<std::string> names;
  for (std::size_t start = 0; start <= value.size() && !value.empty();) {
    std::size_t const end = std::min(value.find(',', start), value.size());
    names.push_back(value.substr(start, end - start));
    (void)parse_name(names.back());
    start = end + 1;
  }
  return names;
}

/// Reads an attribute that only a daemon could heed, so that a wrong value is still told.
bool is_daemons_key(const std::string& key) {
  constexpr std::string_view kKeys[] = {"name-canonical",
                                        "unsafe-internal-store-allow-incomplete"};
  return std::ranges::find(kKeys, key) != std::end(kKeys);
}

}  // namespace

bool parse_bool(const std::string& key, const std::string& value) {
  for (const char* yes : {"", "1", "t", "T", "true", "TRUE", "True"}) {
    if (value == yes) return true;
  }
  for (const char* no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (value == no) return false;
  }
  refuse("non-bool value specified for " + key);
}

PushOptions parse_push_options(const OutputOptions& output) {
  PushOptions options;
  for (const auto& [key, value] : output.attributes) {
    if (key == "name") options.names = parse_names(value);
    if (key == "push") options.push = parse_bool(key, value);
    if (key == "push-by-digest") options.by_digest = parse_bool(key, value);
    if (key == "registry.insecure") options.insecure = parse_bool(key, value);
    if (key == "unpack") options.unpack = parse_bool(key, value);
    if (key == "store") options.store = parse_bool(key, value);
    if (key == "dangling-name-prefix") options.dangling_prefix = value;
    if (key == "danging-name-empty-only") options.dangling_empty_only = parse_bool(key, value);
    if (is_daemons_key(key)) (void)parse_bool(key, value);
  }
  if (!options.dangling_prefix.empty()) (void)parse_name(options.dangling_prefix);
  return options;
}

void check_push_options(const PushOptions& options) {
  if (!options.push) return;
  if (options.names.empty() && options.dangling_prefix.empty()) {
    refuse("a name is needed when pushing to a registry: give -t NAME, or name=NAME in --output");
  }
  for (const std::string& name : options.names) {
    oci::Reference const reference = parse_name(name);
    bool const tagged = reference.tag && name.ends_with(":" + *reference.tag);
    if (options.by_digest && (tagged || reference.digest)) {
      refuse("can't push tagged ref " + reference.to_string() +
             " by digest: leave out the tag, or push-by-digest");
    }
  }
}

std::vector<std::string> image_names(const PushOptions& options, const BlobDigest& root) {
  std::vector<std::string> names = options.names;
  bool const dangling = !options.dangling_prefix.empty();
  if (dangling && (names.empty() || !options.dangling_empty_only)) {
    names.push_back(options.dangling_prefix + "@" + root.to_string());
  }
  return names;
}

std::string join_names(const std::vector<std::string>& names) {
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : ",") + name;
  return joined;
}

}  // namespace cobuild::cli
