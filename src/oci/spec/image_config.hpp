#pragma once

/// Image configs: what is in an image and how it runs.
///
/// There are two ways to one, because BuildKit has two. A frontend reads a base image's config into
/// ImageConfig, which knows the members of Docker's and OCI's spec and drops all others, changes
/// it, and writes it with to_json. An exporter takes the text that a frontend wrote and patches it
/// with patch_image_config, which keeps every member that it does not know (F4.5.7).

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"
#include "oci/spec/platform.hpp"

namespace cobuild::oci {

/// No config is longer.
inline constexpr std::size_t kImageConfigBytesMax = 8 * 1024 * 1024;

/// HEALTHCHECK. A zero duration or count is "inherit".
struct HealthCheck {
  std::vector<std::string> test;  ///< {"CMD", …}, {"CMD-SHELL", …} or {"NONE"}.
  std::chrono::nanoseconds interval{0};
  std::chrono::nanoseconds timeout{0};
  std::chrono::nanoseconds start_period{0};
  std::chrono::nanoseconds start_interval{0};
  int retries = 0;

  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

/// The "config" member. Empty members are not written.
struct ContainerConfig {
  std::string user;
  std::set<std::string> exposed_ports;  ///< "80/tcp".
  std::vector<std::string> env;         ///< "NAME=VALUE", in order.
  std::vector<std::string> entrypoint;
  std::vector<std::string> cmd;
  std::set<std::string> volumes;
  std::string working_dir;
  std::map<std::string, std::string> labels;
  std::string stop_signal;
  bool args_escaped = false;
  std::optional<HealthCheck> healthcheck;
  std::vector<std::string> on_build;
  std::vector<std::string> shell;

  friend bool operator==(const ContainerConfig&, const ContainerConfig&) = default;
};

struct History {
  /// RFC 3339 as format_rfc3339 writes it. Text, because configs in the wild say year 1.
  std::optional<std::string> created;
  std::string created_by;
  std::string author;
  std::string comment;
  bool empty_layer = false;

  friend bool operator==(const History&, const History&) = default;
};

struct ImageConfig {
  std::optional<std::string> created;  ///< \see History::created.
  std::string author;
  Platform platform;  ///< As written, not normalised.
  ContainerConfig config;
  std::vector<DiffId> diff_ids;  ///< rootfs.diff_ids, lowest layer first.
  std::vector<History> history;

  friend bool operator==(const ImageConfig&, const ImageConfig&) = default;
};

/// \throws Error kCorrupt naming the member that is wrong; kUnsupported for digests other than
/// sha256.
[[nodiscard]] ImageConfig parse_image_config(std::string_view json);

/// Compact, members in the order of the spec's structs, which is what BuildKit's frontend hands to
/// its exporter. No diff IDs are written as null.
[[nodiscard]] std::string to_json(const ImageConfig& config);

/// What an exporter puts into a frontend's config: the members named here are replaced, all others
/// are kept as they are.
struct ImageConfigPatch {
  std::vector<DiffId> diff_ids;
  std::vector<History> history;
  /// nullopt keeps the one in the config; where that has none, the last time in `history` is taken.
  std::optional<std::string> created;
  /// Further top-level members and their JSON text ("moby.buildkit.cache.v0").
  std::map<std::string, std::string> members;
};

/// The patched config: compact, top-level members sorted by name, deeper ones in their own order.
/// With no history the member is null, as BuildKit writes it.
/// \throws Error kCorrupt when `json` is not an object; kInvalidInput "invalid image config for
/// export: missing os" (or architecture).
[[nodiscard]] std::string patch_image_config(std::string_view json, const ImageConfigPatch& patch);

}  // namespace cobuild::oci
