#include "registry/hosts.hpp"

#include <optional>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

constexpr std::string_view kTlsPort = ":443";

HostOptions options_of(std::string_view host, const Options& options) {
  const HostOptions* found = find_host(host, options);
  return found ? *found : HostOptions();
}

enum class Speaks { kTls, kPlainHttp, kEither };

/// As containerd does: TLS, but for localhost, where it is asked for by naming certificates. Those
/// that are for every host may be meant for another one: then TLS is only tried.
Speaks speech_of(std::string_view host, const HostOptions& own, const Options& options) {
  if (own.plain_http && *own.plain_http) return Speaks::kPlainHttp;
  if (own.insecure) return Speaks::kEither;
  if (own.plain_http || !is_localhost(host)) return Speaks::kTls;
  if (!own.ca_files.empty() || !own.key_pairs.empty() || !own.tls_dirs.empty()) return Speaks::kTls;
  return options.ca_files.empty() ? Speaks::kPlainHttp : Speaks::kEither;
}

/// The API of `host`, which may be called by another name in references.
Endpoint make_endpoint(const oci::Reference& reference, std::string_view host,
                       const HostOptions& own, const Options& options) {
  Speaks const speaks = speech_of(host, own, options);
  Endpoint result;
  result.base = Url::of(speaks == Speaks::kPlainHttp ? "http" : "https", host, "/v2");
  result.registry = reference.registry;
  result.repository = reference.repository;
  result.insecure = own.insecure || speaks == Speaks::kEither;
  return result;
}

/// A mirror as buildkitd.toml and --mirror have it: it serves the registry's repositories below its
/// path.
Endpoint mirror_endpoint(const oci::Reference& reference, const std::string& mirror,
                         const Options& options) {
  std::string_view rest = mirror;
  for (std::string_view scheme : {"https://", "http://"}) {
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  }
  auto const slash = rest.find('/');
  std::string_view const host = rest.substr(0, slash);
  HostOptions own = options_of(host, options);
  if (!own.plain_http && mirror.starts_with("http://")) own.plain_http = true;
  Endpoint result = make_endpoint(reference, host, own, options);
  std::string path(slash == std::string_view::npos ? "" : rest.substr(slash));
  while (path.ends_with('/')) path.pop_back();
  result.base.target += path;
  result.is_mirror = true;
  result.is_told_whom = true;
  return result;
}

/// How much of `name` a prefix of registries.conf covers; nullopt: it is not about this name.
std::optional<std::size_t> covered_by(std::string_view prefix, std::string_view name) {
  std::size_t length = prefix.size();
  if (prefix.starts_with("*.")) {
    std::string_view const host = name.substr(0, name.find_first_of("/:"));
    if (!host.ends_with(prefix.substr(1))) return std::nullopt;
    length = host.size();
  } else if (!name.starts_with(prefix)) {
    return std::nullopt;
  }
  bool const is_whole =
      length == name.size() || std::string_view("/:@").find(name[length]) != std::string_view::npos;
  return is_whole ? std::optional(length) : std::nullopt;
}

struct Match {
  const RegistryRule* rule = nullptr;
  std::size_t covered = 0;
};

/// The rule for a name; none: an empty match. \throws Error kDenied when it is blocked.
Match match_rule(const oci::Reference& reference, const Options& options) {
  Match best;
  std::size_t longest = 0;
  std::string const name = reference.to_string();
  for (const auto& [prefix, rule] : options.rules) {
    auto const covered = covered_by(prefix, name);
    if (!covered || (best.rule && prefix.size() <= longest)) continue;
    best = {&rule, *covered};
    longest = prefix.size();
  }
  if (best.rule && best.rule->blocked) {
    throw Error(ErrorKind::kDenied, reference.name() + " is blocked by " +
                                        best.rule->source.string() +
                                        ": remove that, or use another registry");
  }
  return best;
}

/// `reference` with `location` for what a rule covers. One that covers a tag, too, moves nothing.
oci::Reference moved(const oci::Reference& reference, const std::string& location,
                     std::size_t covered) {
  std::string const name = reference.name();
  if (location.empty() || covered > name.size()) return reference;
  std::string const there = location + name.substr(covered);
  auto const slash = there.find('/');
  oci::Reference result = reference;
  result.registry = there.substr(0, slash);
  result.repository = slash == std::string::npos ? "" : there.substr(slash + 1);
  if (result.repository.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "registries.conf has " + name + " at " + there + ", which has no repository");
  }
  return result;
}

bool is_used(const MirrorLocation& mirror, const oci::Reference& reference) {
  switch (mirror.use) {
    case MirrorLocation::Use::kByDigest: return reference.digest || !reference.tag;
    case MirrorLocation::Use::kByTag: return !reference.digest;
    case MirrorLocation::Use::kAlways: break;
  }
  return true;
}

Endpoint endpoint_at(const oci::Reference& there, const Options& options) {
  std::string const host = api_host(there.registry);
  return make_endpoint(there, host, options_of(there.registry, options), options);
}

}  // namespace

Url Endpoint::url(std::string_view path) const {
  Url url = base;
  url.target.append("/").append(repository).append("/").append(path);
  if (is_told_whom) {
    url.target += url.target.find('?') == std::string::npos ? "?ns=" : "&ns=";
    url.target += percent_encode(registry);
  }
  return url;
}

std::string api_host(std::string_view registry) {
  return registry == "docker.io" ? "registry-1.docker.io" : std::string(registry);
}

const HostOptions* find_host(std::string_view host, const Options& options) {
  std::string const name(host == "registry-1.docker.io" ? "docker.io" : host);
  std::string const other = name.ends_with(kTlsPort) ? name.substr(0, name.size() - kTlsPort.size())
                                                     : name + std::string(kTlsPort);
  for (const std::string& key : {std::string(host), name, other}) {
    auto const found = options.hosts.find(key);
    if (found != options.hosts.end()) return &found->second;
  }
  std::string const bare = name.substr(0, name.rfind(':'));
  for (auto dot = bare.find('.'); dot != std::string::npos; dot = bare.find('.', dot + 1)) {
    auto const found = options.hosts.find("*" + bare.substr(dot));
    if (found != options.hosts.end()) return &found->second;
  }
  return nullptr;
}

std::vector<Endpoint> pull_endpoints(const oci::Reference& reference, const Options& options) {
  std::vector<Endpoint> endpoints;
  Match const match = match_rule(reference, options);
  auto const add = [&](const std::string& mirror, auto&& make) {
    try {
      endpoints.push_back(make());
    } catch (const Error& error) {
      throw error.with_context("mirror " + mirror + " of " + reference.registry);
    }
  };
  auto const mirrors = options_of(reference.registry, options).mirrors;
  for (const std::string& mirror : mirrors) {
    add(mirror, [&] { return mirror_endpoint(reference, mirror, options); });
  }
  for (const MirrorLocation& mirror :
       match.rule&& mirrors.empty() ? match.rule->mirrors : std::vector<MirrorLocation>()) {
    if (!is_used(mirror, reference)) continue;
    add(mirror.location,
        [&] { return endpoint_at(moved(reference, mirror.location, match.covered), options); });
    endpoints.back().is_mirror = true;
  }
  endpoints.push_back(push_endpoint(reference, options));
  return endpoints;
}

Endpoint push_endpoint(const oci::Reference& reference, const Options& options) {
  Match const match = match_rule(reference, options);
  if (!match.rule) return endpoint_at(reference, options);
  return endpoint_at(moved(reference, match.rule->location, match.covered), options);
}

}  // namespace cobuild::registry
