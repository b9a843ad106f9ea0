#pragma once

/// Private keys that --ssh names: read from their files, and signed with.

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ops/lend/agent_protocol.hpp"

struct evp_pkey_st;

namespace cobuild::ops {

inline constexpr std::size_t kSshKeyBytes_max = std::size_t{100} * 1024;  ///< As BuildKit has it.

/// An RSA, ECDSA or Ed25519 key. Cheap to copy.
class SshKey {
 public:
  /// Reads a PEM file, of OpenSSH's or the older forms. `what` names it in errors.
  /// \throws Error kUnsupported for keys with a passphrase and of other kinds, kInvalidInput for what
  /// is no key.
  [[nodiscard]] static SshKey parse(std::string_view text, const std::string& what);

  /// As agents list it.
  [[nodiscard]] const std::string& public_key() const noexcept { return public_key_; }

  /// The signature of `request.data`, as agents give it; nullopt when OpenSSL refuses.
  [[nodiscard]] std::optional<std::string> sign(const SignRequest& request) const;

 private:
  SshKey() = default;
  std::shared_ptr<evp_pkey_st> key_;
  std::string type_;  ///< "ssh-ed25519".
  std::string public_key_;
};

}  // namespace cobuild::ops
