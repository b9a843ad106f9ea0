#pragma once

/// Whom to trust: where distributions keep their CA certificates, and what one host adds.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "registry/options.hpp"
#include "registry/proxy.hpp"

namespace cobuild::registry {

/// Files for OpenSSL to load before the first handshake with a host. Plain paths.
struct TlsTrust {
  std::vector<std::filesystem::path> bundles;  ///< PEM, loaded whole.
  std::vector<std::filesystem::path>
      hashed_dirs;  ///< Looked into by subject hash when needed: costs nothing.
  std::vector<KeyPair> key_pairs;
  bool verify = true;
};

/// Reads directories, so it belongs on the pool. `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the
/// system's places. \throws Error kNotFound for a named file that is not there.
[[nodiscard]] TlsTrust find_tls_trust(const HostOptions& host,
                                      const std::vector<std::filesystem::path>& ca_files,
                                      const Variables& variables);

}  // namespace cobuild::registry
