#include "oci/spec/reference.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::oci {
namespace {

constexpr std::string_view kDefaultRegistry = "docker.io";
constexpr std::string_view kLegacyRegistry = "index.docker.io";
constexpr std::string_view kOfficialPrefix = "library/";
constexpr std::string_view kDefaultTag = "latest";
constexpr std::size_t kTagLengthMax = 128;
constexpr std::size_t kDigestHexMin = 32;

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alphanumeric(char c) {
  return is_lower(c) || is_upper(c) || is_digit(c);
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

Error invalid_format() {
  return Error(ErrorKind::kInvalidInput, "invalid reference format");
}

/// Whether the part before the first slash names a registry rather than a user of Docker Hub.
bool is_registry(std::string_view first_part) {
  return first_part == "localhost" || first_part.find_first_of(".:") != std::string_view::npos ||
         std::ranges::any_of(first_part, is_upper);
}

bool is_host(std::string_view host) {
  if (host.starts_with('[')) {
    return host.size() > 2 && host.ends_with(']') &&
           std::ranges::all_of(host.substr(1, host.size() - 2),
                               [](char c) { return is_hex(c) || c == ':'; });
  }
  while (true) {
    auto dot = host.find('.');
    std::string_view label = host.substr(0, dot);
    if (label.empty() || label.front() == '-' || label.back() == '-' ||
        !std::ranges::all_of(label, [](char c) { return is_alphanumeric(c) || c == '-'; })) {
      return false;
    }
    if (dot == std::string_view::npos) return true;
    host.remove_prefix(dot + 1);
  }
}

/// "host" or "host:port".
bool is_domain(std::string_view domain) {
  auto colon = domain.rfind(':');
  if (colon != std::string_view::npos && !domain.ends_with(']')) {
    std::string_view port = domain.substr(colon + 1);
    if (port.empty() || !std::ranges::all_of(port, is_digit)) return false;
    domain = domain.substr(0, colon);
  }
  return is_host(domain);
}

/// One part between slashes: runs of [a-z0-9] joined by '.', '_', '__' or dashes.
bool is_path_component(std::string_view part) {
  auto is_word = [](char c) { return is_lower(c) || is_digit(c); };
  std::size_t at = 0;
  while (true) {
    std::size_t const word = at;
    while (at < part.size() && is_word(part[at])) ++at;
    if (at == word) return false;
    if (at == part.size()) return true;
    std::size_t const separator = at;
    while (at < part.size() && part[at] == part[separator]) ++at;
    std::size_t const length = at - separator;
    bool const good = part[separator] == '-' || (part[separator] == '.' && length == 1) ||
                      (part[separator] == '_' && length <= 2);
    if (!good) return false;
  }
}

bool is_repository(std::string_view repository) {
  while (true) {
    auto slash = repository.find('/');
    if (!is_path_component(repository.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    repository.remove_prefix(slash + 1);
  }
}

bool is_tag(std::string_view tag) {
  auto is_word = [](char c) { return is_alphanumeric(c) || c == '_'; };
  return !tag.empty() && tag.size() <= kTagLengthMax && is_word(tag.front()) &&
         std::ranges::all_of(tag, [&](char c) { return is_word(c) || c == '.' || c == '-'; });
}

/// "<algorithm>:<hex>" of any algorithm that the grammar allows.
bool is_any_digest(std::string_view text) {
  auto colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  std::string_view algorithm = text.substr(0, colon);
  std::string_view hex = text.substr(colon + 1);
  return (is_lower(algorithm.front()) || is_upper(algorithm.front())) &&
         std::ranges::all_of(algorithm,
                             [](char c) {
                               return is_alphanumeric(c) ||
                                      std::string_view("-_+.").find(c) != std::string_view::npos;
                             }) &&
         hex.size() >= kDigestHexMin && std::ranges::all_of(hex, is_hex);
}

BlobDigest parse_digest(std::string_view text) {
  if (auto digest = Digest::try_parse(text)) return BlobDigest(*digest);
  if (!is_any_digest(text)) throw invalid_format();
  std::string_view algorithm = text.substr(0, text.find(':'));
  if (algorithm == "sha256") throw invalid_format();
  throw Error(ErrorKind::kUnsupported, "unsupported digest algorithm " + std::string(algorithm) +
                                           " in image reference: only sha256 is supported");
}

bool is_identifier(std::string_view text) {
  return text.size() == 64 &&
         std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

/// Splits "registry/rest" and completes Docker Hub's shorthand.
std::pair<std::string, std::string> split_registry(std::string_view text) {
  std::string registry(kDefaultRegistry);
  std::string_view rest = text;
  auto slash = text.find('/');
  if (slash != std::string_view::npos && is_registry(text.substr(0, slash))) {
    registry = text.substr(0, slash);
    rest.remove_prefix(slash + 1);
    if (registry == kLegacyRegistry) registry = kDefaultRegistry;
  }
  std::string remainder(rest);
  if (registry == kDefaultRegistry && rest.find('/') == std::string_view::npos) {
    remainder.insert(0, kOfficialPrefix);
  }
  return {std::move(registry), std::move(remainder)};
}

}  // namespace

Reference Reference::parse(std::string_view text) {
  if (is_identifier(text)) {
    throw Error(ErrorKind::kInvalidInput, "invalid repository name (" + std::string(text) +
                                              "), cannot specify 64-byte hexadecimal strings");
  }
  auto [registry, remainder] = split_registry(text);
  std::string_view rest = remainder;
  if (auto name = rest.substr(0, rest.find(':')); std::ranges::any_of(name, is_upper)) {
    throw Error(ErrorKind::kInvalidInput, "invalid reference format: repository name (" +
                                              std::string(name) + ") must be lowercase");
  }

  Reference reference;
  reference.registry = std::move(registry);
  if (auto at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = parse_digest(rest.substr(at + 1));
    rest = rest.substr(0, at);
  }
  if (auto colon = rest.find(':'); colon != std::string_view::npos) {
    if (!is_tag(rest.substr(colon + 1))) throw invalid_format();
    reference.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
  }
  if (!is_domain(reference.registry) || !is_repository(rest)) throw invalid_format();
  reference.repository = rest;
  if (reference.repository.size() > kRepositoryLengthMax) {
    throw Error(ErrorKind::kInvalidInput, "repository name must not be more than " +
                                              std::to_string(kRepositoryLengthMax) + " characters");
  }
  if (!reference.tag && !reference.digest) reference.tag = kDefaultTag;
  return reference;
}

std::optional<Reference> Reference::try_parse(std::string_view text) {
  try {
    return parse(text);
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::string Reference::name() const {
  return registry + "/" + repository;
}

std::string Reference::to_string() const {
  std::string text = name();
  if (tag) text += ":" + *tag;
  if (digest) text += "@" + digest->to_string();
  return text;
}

std::string Reference::familiar() const {
  std::string text = to_string();
  std::string_view const hub = "docker.io/";
  if (!text.starts_with(hub)) return text;
  text.erase(0, hub.size());
  if (repository.starts_with(kOfficialPrefix) &&
      repository.find('/', kOfficialPrefix.size()) == std::string::npos) {
    text.erase(0, kOfficialPrefix.size());
  }
  return text;
}

std::string Reference::to_source_string() const {
  if (digest) return name() + "@" + digest->to_string();
  return to_string();
}

}  // namespace cobuild::oci
