#include "registry/hosts.hpp"

#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

HostOptions options_of(std::string_view host, const Options& options) {
  auto found = options.hosts.find(std::string(host));
  return found == options.hosts.end() ? HostOptions() : found->second;
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

Endpoint endpoint(std::string_view registry, std::string_view host, std::string_view path,
                  const HostOptions& own, const Options& options) {
  Speaks const speaks = speech_of(host, own, options);
  Endpoint result;
  result.base = Url::of(speaks == Speaks::kPlainHttp ? "http" : "https", host, "/v2");
  result.base.target += path;
  result.registry = registry;
  result.insecure = own.insecure || speaks == Speaks::kEither;
  return result;
}

}  // namespace

Url Endpoint::url(std::string_view path) const {
  Url url = base;
  url.target.append("/").append(path);
  if (is_mirror) {
    url.target += url.target.find('?') == std::string::npos ? "?ns=" : "&ns=";
    url.target += percent_encode(registry);
  }
  return url;
}

std::string api_host(std::string_view registry) {
  return registry == "docker.io" ? "registry-1.docker.io" : std::string(registry);
}

std::vector<Endpoint> pull_endpoints(std::string_view registry, const Options& options) {
  std::vector<Endpoint> endpoints;
  for (const std::string& mirror : options_of(registry, options).mirrors) {
    std::string_view rest = mirror;
    for (std::string_view scheme : {"https://", "http://"}) {
      if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
    }
    auto const slash = rest.find('/');
    std::string_view const host = rest.substr(0, slash);
    std::string path(slash == std::string_view::npos ? "" : rest.substr(slash));
    while (path.ends_with('/')) path.pop_back();
    HostOptions host_options = options_of(host, options);
    if (!host_options.plain_http && mirror.starts_with("http://")) host_options.plain_http = true;
    try {
      endpoints.push_back(endpoint(registry, host, path, host_options, options));
    } catch (const Error& error) {
      throw error.with_context("mirror " + mirror + " of " + std::string(registry));
    }
    endpoints.back().is_mirror = true;
  }
  endpoints.push_back(push_endpoint(registry, options));
  return endpoints;
}

Endpoint push_endpoint(std::string_view registry, const Options& options) {
  return endpoint(registry, api_host(registry), "", options_of(registry, options), options);
}

}  // namespace cobuild::registry
