#pragma once

/// What the user lends to the build's steps with --secret (F7.3.1).

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/secret.hpp"

namespace cobuild::ops {

inline constexpr std::size_t kSecretBytes_max = std::size_t{500} * 1024;  ///< As BuildKit has it.

/// Where the secret `id` is: in the variable `env` of our environment, else in `file`.
struct SecretSource {
  std::string id;
  std::filesystem::path file;
  std::string env;
};

/// The secrets of one build. Values are read when they are first asked for, and then kept, since a
/// file may be a pipe. Lives on the loop; reads of files block it shortly.
class Secrets {
 public:
  Secrets() = default;
  /// \throws Error kNotFound, kDenied or kInvalidInput for a file that is not there, cannot be read or
  /// is too large; nothing is read yet.
  explicit Secrets(std::vector<SecretSource> sources);

  /// nullopt when there is none of this id. \throws Error when it cannot be read.
  [[nodiscard]] std::optional<Secret> find(const std::string& id) const;

  /// As find. \throws Error kNotFound in BuildKit's words, with a remedy, when there is none (F7.3.2).
  [[nodiscard]] Secret get(const std::string& id) const;

 private:
  std::map<std::string, SecretSource> sources_;  ///< Of one id, the last that was given.
  mutable std::map<std::string, Secret> read_;
};

}  // namespace cobuild::ops
