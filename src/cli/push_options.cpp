#include "cli/push_options.hpp"

#include <algorithm>
#include <string_view>

#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kInvalidInput, what); }

bool is_yes(std::string_view value) {
  constexpr std::string_view kYes[] = {"", "1", "t", "T", "true", "TRUE", "True"};
  return std::ranges::find(kYes, value) != std::end(kYes);
}

bool is_no(std::string_view value) {
  constexpr std::string_view kNo[] = {"0", "f", "F", "false", "FALSE", "False"};
  return std::ranges::find(kNo, value) != std::end(kNo);
}

}  // namespace

bool is_bool(const std::string& value) {
  return is_yes(value) || is_no(value);
}

bool parse_bool(const std::string& key, const std::string& value) {
  if (is_bool(value)) return is_yes(value);
  refuse("non-bool value specified for " + key + ": strconv.ParseBool: parsing \"" + value +
         "\": invalid syntax");
}

oci::Reference parse_name(const std::string& name) {
  try {
    return oci::Reference::parse(name);
  } catch (const Error& e) {
    throw e.with_context("failed to parse " + name);
  }
}

std::vector<std::string> requested_names(const std::map<std::string, std::string>& attributes) {
  auto const name = attributes.find("name");
  if (name == attributes.end() || name->second.empty()) return {};
  auto const of_result = attributes.find("image.name");
  bool const is_star = name->second == "*" && of_result != attributes.end();
  const std::string& list = is_star ? of_result->second : name->second;
  std::vector<std::string> names;
  for (std::size_t start = 0; start <= list.size();) {
    std::size_t const end = std::min(list.find(',', start), list.size());
    names.push_back(list.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

PushOptions parse_push_options(const OutputOptions& output) {
  PushOptions options;
  options.names = requested_names(output.attributes);
  for (const std::string& name : options.names) (void)parse_name(name);
  for (const auto& [key, value] : output.attributes) {
    if (key == "push") options.push = parse_bool(key, value);
    if (key == "push-by-digest") options.by_digest = parse_bool(key, value);
    if (key == "registry.insecure") options.insecure = parse_bool(key, value);
    if (key == "unpack") options.unpack = parse_bool(key, value);
    if (key == "store") options.store = parse_bool(key, value);
    if (key == "dangling-name-prefix") options.dangling_prefix = value;
    if (key == "danging-name-empty-only") options.dangling_empty_only = parse_bool(key, value);
    if (key == "name-canonical") options.canonical = parse_bool(key, value);
    // Layers that nobody has read are not fetched in any case: only a push needs them.
    if (key == "unsafe-internal-store-allow-incomplete") (void)parse_bool(key, value);
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
