#pragma once

/// How ops are recognised: their cache digests and what they read of their inputs (F2.6.2 to
/// F2.6.11).
///
/// Digests are equal to BuildKit's, byte for byte, so that either tool can use the other's cache.
/// They are hashes of what Go's encoding/json makes of BuildKit's structures: \see go_json. All
/// functions here are pure.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"

namespace cobuild::ops {

/// One thing an op reads of an input: a path, and how the path is understood (F2.6.5).
struct ContentSelector {
  std::string path;
  bool wildcard = false;      ///< `path` is a pattern.
  bool follow_links = false;  ///< A link at the end of `path` is followed.
  std::vector<std::string> include_patterns;
  std::vector<std::string> exclude_patterns;
  std::vector<std::string> required_paths;

  [[nodiscard]] bool has_wildcard_or_filters() const {
    return wildcard || !include_patterns.empty() || !exclude_patterns.empty();
  }
  friend bool operator==(const ContentSelector&, const ContentSelector&) = default;
};

/// A cache map, and for each dependency that is content_keyed what is read of it.
struct OpKey {
  solve::CacheMap map;
  std::vector<std::vector<ContentSelector>> selectors;  ///< One list for each input.
};

/// The key of an exec, file, merge, diff, build or passthrough op. Inputs that are local sources
/// are `content_only`: their own keys are new in every build.
/// \throws Error kInvalidInput for input indexes that do not exist, and for mounts that insist on
/// content caching where it would be wrong; kInternal for a source op.
[[nodiscard]] OpKey op_key(const llb::Vertex& vertex);

/// The part of an exec that decides its result, as BuildKit sees it.
[[nodiscard]] pb::ExecOp without_incidentals(pb::ExecOp op);

/// The op digest of a source with its own key `key` (F2.6.6).
[[nodiscard]] Digest source_digest(std::string_view key);

/// A pulled image's first key (F2.6.7). `limit`: only that many of the lowest layers are used.
[[nodiscard]] std::string image_manifest_key(const Digest& manifest, const pb::Platform& platform,
                                             std::optional<int> limit);

/// The key of a local source (F2.6.10): "session:NAME:sha256:...". `session` stands in for the
/// attribute local.session. \throws Error kInvalidInput for attributes that are not JSON lists.
[[nodiscard]] std::string local_key(const pb::SourceOp& source, std::string_view session);

/// Whether the vertex is a source op of the scheme local://.
[[nodiscard]] bool is_local_source(const llb::Vertex& vertex);

/// sha256 of "digest@output": the name of output `output` of an op with this digest (F2.6.1).
[[nodiscard]] Digest root_key(const Digest& op, int output);

/// Whether a name has an unescaped `*`, `?` or `[`.
[[nodiscard]] bool contains_wildcards(std::string_view name) noexcept;

}  // namespace cobuild::ops
