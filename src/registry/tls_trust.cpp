#include "registry/tls_trust.hpp"

#include <algorithm>
#include <array>
#include <system_error>

#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

namespace fs = std::filesystem;

constexpr std::array kSystemDirs = {
    "/etc/ssl/certs", "/etc/pki/ca-trust/extracted/pem/directory-hash", "/etc/pki/tls/certs"};
constexpr std::array kSystemBundles = {
    "/etc/ssl/certs/ca-certificates.crt",                 // Debian, Arch, Alpine
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",  // Fedora, RHEL
    "/etc/pki/tls/certs/ca-bundle.crt",                   // older RHEL
    "/etc/ssl/ca-bundle.pem",                             // SUSE
    "/etc/ssl/cert.pem",                                  // Alpine without the bundle
};
constexpr std::size_t kDirectoryEntriesMax = 100000;

bool is_hashed_name(std::string_view name) {
  auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return name.size() == 10 && std::ranges::all_of(name.substr(0, 8), is_hex) && name[8] == '.' &&
         name[9] == '0';
}

/// Calls `each` with the path of every entry; an unreadable directory has none.
template <class Each>
void for_each_entry(const fs::path& directory, Each each) {
  std::error_code error;
  std::size_t count = 0;
  for (fs::directory_iterator it(directory, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    if (++count > kDirectoryEntriesMax || !each(it->path())) return;
  }
}

bool has_hashed_names(const fs::path& directory) {
  bool found = false;
  for_each_entry(directory, [&](const fs::path& path) {
    found = is_hashed_name(path.filename().string());
    return !found;
  });
  return found;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

void add_system(const Variables& variables, TlsTrust& trust) {
  auto const file = variables("SSL_CERT_FILE");
  auto const dirs = variables("SSL_CERT_DIR");
  if ((file && !file->empty()) || (dirs && !dirs->empty())) {
    if (file && !file->empty() && is_there(*file)) trust.bundles.emplace_back(*file);
    std::string_view rest = dirs ? std::string_view(*dirs) : std::string_view();
    while (!rest.empty()) {
      auto const colon = std::min(rest.find(':'), rest.size());
      if (colon > 0) trust.hashed_dirs.emplace_back(rest.substr(0, colon));
      rest.remove_prefix(std::min(colon + 1, rest.size()));
    }
    return;
  }
  for (const char* directory : kSystemDirs) {
    if (has_hashed_names(directory)) {
      trust.hashed_dirs.emplace_back(directory);
      return;
    }
  }
  auto const bundle =
      std::ranges::find_if(kSystemBundles, [](const char* b) { return is_there(b); });
  if (bundle != kSystemBundles.end()) trust.bundles.emplace_back(*bundle);
}

/// A directory in the style of /etc/docker/certs.d/HOST.
void add_directory(const fs::path& directory, TlsTrust& trust) {
  std::vector<fs::path> found;
  for_each_entry(directory, [&](const fs::path& path) {
    found.push_back(path);
    return true;
  });
  std::ranges::sort(found);
  for (const fs::path& path : found) {
    if (path.extension() == ".crt") trust.bundles.push_back(path);
    if (path.extension() == ".cert") {
      fs::path key = path;
      trust.key_pairs.push_back({.key = key.replace_extension(".key"), .certificate = path});
    }
  }
}

void add_named(const fs::path& file, std::vector<fs::path>& bundles) {
  if (!is_there(file)) {
    throw Error(ErrorKind::kNotFound, "CA certificate " + file.string() + ": no such file");
  }
  bundles.push_back(file);
}

}  // namespace

TlsTrust find_tls_trust(const HostOptions& host, const std::vector<fs::path>& ca_files,
                        const Variables& variables) {
  TlsTrust trust;
  trust.verify = !host.insecure;
  trust.key_pairs = host.key_pairs;
  // Reading a bundle of all authorities takes 30 ms: not where anybody is trusted.
  if (trust.verify) add_system(variables, trust);
  for (const fs::path& file : ca_files) add_named(file, trust.bundles);
  for (const fs::path& file : host.ca_files) add_named(file, trust.bundles);
  for (const fs::path& directory : host.tls_dirs) add_directory(directory, trust);
  return trust;
}

}  // namespace cobuild::registry
