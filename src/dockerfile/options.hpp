#pragma once

/// What a build asks of the Dockerfile frontend (F1.11), as typed values.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/llb/ops.pb.h"
#include "dockerfile/ignore_file.hpp"

namespace cobuild::dockerfile {

enum class ImageResolveMode { kDefault, kPull, kLocal };

/// The main context when it is no directory of the user's (F1.10.2, F1.10.7, F1.10.8). A value.
struct RemoteContext {
  enum class Kind {
    kGit,
    kFile,     ///< One file, "context", which is the Dockerfile too.
    kArchive,  ///< The files of an archive.
  };
  Kind kind = Kind::kGit;
  std::string url;
  std::optional<std::string> subdir;  ///< opt contextsubdir: only what is in there (F1.10.11).
  bool keep_git_dir = false;          ///< opt build-arg:BUILDKIT_CONTEXT_KEEP_GIT_DIR.
};

struct ConvertOptions {
  std::string filename = "Dockerfile";  ///< Path inside the dockerfile source; for messages too.
  std::string target;                   ///< Stage to build; empty: the last one.
  std::map<std::string, std::string> build_args;
  std::map<std::string, std::string> labels;  ///< Win over LABEL.
  /// What SOURCE_DATE_EPOCH came to where it names a source: seconds, or nothing when that has no time.
  std::optional<std::string> source_date_epoch;

  /// What to build for; unset: the build platform, and the result's platform is the base image's.
  std::optional<pb::Platform> target_platform;
  pb::Platform build_platform;  ///< Of this machine, normalised.
  bool multi_platform = false;  ///< Vertex names say the platform.

  /// Stages whose RUN, COPY and ADD ignore the cache; an empty list is all of them; unset: none.
  std::optional<std::vector<std::string>> no_cache_stages;

  ImageResolveMode image_resolve_mode = ImageResolveMode::kDefault;
  std::string hostname;  ///< Of RUN steps; empty: the runtime's default.
  std::vector<pb::HostIP> extra_hosts;
  std::int64_t shm_size_bytes = 0;  ///< 0: the runtime's default.
  std::vector<pb::Ulimit> ulimits;
  std::string cgroup_parent;
  std::optional<pb::LinuxResources> linux_resources;
  pb::NetMode network = pb::UNSET;      ///< Default of RUN.
  std::string cache_mount_namespace;    ///< Prefix of cache mount ids.
  std::optional<std::string> check;     ///< Replaces the file's `# check=` directive (F1.1.6).

  std::string context_name = "context";        ///< Local source of COPY and ADD.
  std::string dockerfile_name = "dockerfile";  ///< Local source that the Dockerfile was read from.
  /// Goes to `local.session` of local sources; empty: the attribute is left out, and equal builds
  /// give equal definitions.
  std::string session_id;
  std::map<std::string, std::string> local_session_ids;  ///< By local name; stronger than session_id.
  std::map<std::string, std::string> named_contexts;     ///< opt context:NAME (F1.10.12).
  std::map<std::string, std::string> shared_keys;  ///< opt sharedkey:localdir:NAME, by NAME.

  /// Set: the context is there, and the Dockerfile too unless local_dockerfile. For an HTTP URL, kind is
  /// kArchive until the caller has looked at what it is: \see is_context_archive.
  std::optional<RemoteContext> remote_context;
  bool local_dockerfile = false;  ///< opt dockerfilekey: the Dockerfile is local in any case (F1.11.10).

  bool all_stages = false;  ///< For the linter: stages that the target does not need count too.

  IgnoreFile ignore;  ///< Of the context; empty when there is none.
};

struct FrontendOptions {
  ConvertOptions convert;
  /// opt platform: one conversion each, with convert.target_platform set. Empty: one, without.
  std::vector<pb::Platform> target_platforms;
};

/// Reads the keys of F1.11. Unknown keys are ignored, as BuildKit does; keys that ask for what
/// cobuild cannot do yet are refused.
/// \param build_platform this machine's, normalised.
/// \throws Error kInvalidInput with BuildKit's message, kUnsupported naming the key.
[[nodiscard]] FrontendOptions parse_frontend_options(const std::map<std::string, std::string>& options,
                                                     const pb::Platform& build_platform);

/// "linux/arm64/v8": os, architecture and variant.
[[nodiscard]] std::string format_platform(const pb::Platform& platform);

}  // namespace cobuild::dockerfile
