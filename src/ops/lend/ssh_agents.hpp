#pragma once

/// What the user lends to the build's steps with --ssh (F7.3.3 to F7.3.5).

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ops/exec/container.hpp"

namespace cobuild::ops {

inline constexpr const char* kDefaultAgent = "default";

/// One --ssh: the socket of an agent, or files with keys.
struct SshSource {
  std::string id = kDefaultAgent;
  std::vector<std::filesystem::path> paths;  ///< At least one.
  bool raw = false;  ///< Everything passes, to a socket of any kind.
};

/// The agents of one build. Lives on the loop.
class SshAgents {
 public:
  SshAgents() = default;
  /// Reads the keys. \throws Error for paths that are neither sockets nor keys, for a mix of both, for
  /// ids given twice; \see SshKey::parse.
  explicit SshAgents(const std::vector<SshSource>& sources);

  /// Serves one connection to the agent `id` ("" is the default one) until the other side ends it; may
  /// outlive this object. Only requests for keys and signatures get through. Empty when there is no
  /// such agent.
  [[nodiscard]] ConnectionHandler find(const std::string& id) const;

  /// As find. \throws Error kNotFound in BuildKit's words, with a remedy, when there is none (F7.3.2).
  [[nodiscard]] ConnectionHandler get(const std::string& id) const;

 private:
  std::map<std::string, ConnectionHandler> handlers_;
};

}  // namespace cobuild::ops
