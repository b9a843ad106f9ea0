#pragma once

/// The command line as typed values. Parsing is pure: it reads the arguments and the environment it
/// is given, and touches neither files nor the terminal.
///
/// Both dialects end in the same structs: `docker buildx build -t NAME --build-arg K=V CONTEXT` is
/// translated into the frontend options and local directories that `buildctl build` spells out.

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ops/lend/secrets.hpp"
#include "ops/lend/ssh_agents.hpp"

namespace cobuild::cli {

/// Looks up an environment variable; nullopt when it is not set. Injected, so that tests need no
/// setenv.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;

/// The environment of this process.
[[nodiscard]] Environment process_environment();

/// What every command understands.
struct GlobalOptions {
  std::filesystem::path root;  ///< The store: --root, $COBUILD_ROOT, or the default (DESIGN 5).
  std::string oci_runtime;     ///< --oci-runtime: a path or a name on PATH; empty: find one.
  std::string snapshotter = "auto";                 ///< auto, overlayfs or native.
  std::optional<std::filesystem::path> config;      ///< --config: a buildkitd.toml.
  std::vector<std::string> insecure_registries;     ///< host[:port]; plain HTTP or any certificate.
  std::vector<std::filesystem::path> registry_cas;  ///< PEM files trusted besides the system's.
  std::map<std::string, std::vector<std::string>>
      mirrors;  ///< Registry host to its mirrors, in order.
  std::chrono::seconds registry_timeout{30};  ///< Of silence, before a connection is given up.
  bool debug = false;  ///< Errors show where in our code they came from.
};

enum class ProgressMode { kAuto, kTty, kPlain, kRawJson, kQuiet };

/// One --output. `destination` is where to write; the other attributes go to the exporter as they
/// are.
struct OutputOptions {
  std::string type;  ///< oci, docker, tar, local, image; whatever the user wrote.
  std::map<std::string, std::string> attributes;  ///< Keys in lower case; without type and dest.
  std::string destination;  ///< Path, "-" for stdout; empty when the exporter takes none.
  bool directory = false;   ///< `destination` is a directory: local, or oci/docker with tar=false.
  bool load = false;  ///< An archive for `docker load` or `podman load`; no destination.
  /// Whether the result goes to this process's standard output.
  [[nodiscard]] bool to_stdout() const { return destination == "-" && !directory; }

  friend bool operator==(const OutputOptions&, const OutputOptions&) = default;
};

/// `--call NAME[,format=json]`, as docker buildx has it.
struct CallOptions {
  std::string name;  ///< "lint", "outline", "targets", "subrequests.describe": without "frontend.".
  bool json = false;
  bool ignore_status = false;
  friend bool operator==(const CallOptions&, const CallOptions&) = default;
};

/// One --cache-to or --cache-from (F5.2.1).
struct CacheOptions {
  std::string type;                               ///< registry, local, ...; as written.
  std::map<std::string, std::string> attributes;  ///< Keys in lower case; without type.
  friend bool operator==(const CacheOptions&, const CacheOptions&) = default;
};

struct BuildOptions {
  GlobalOptions global;
  /// "dockerfile.v0", or another name to be refused by the build; empty: LLB comes on stdin.
  std::string frontend;
  /// F1.11's keys: target, build-arg:K, platform, filename, no-cache, add-hosts, ...
  std::map<std::string, std::string> frontend_options;
  std::map<std::string, std::filesystem::path> locals;  ///< Name to directory: context, dockerfile.
  std::map<std::string, std::filesystem::path> oci_layouts;  ///< Name to OCI layout directory.
  /// `-f -`: the Dockerfile is read from stdin, and locals has no "dockerfile".
  bool dockerfile_from_stdin = false;
  std::string dockerfile_url;  ///< http or https; empty: it is elsewhere.
  /// --call: answer a question about the Dockerfile and build nothing. The option "requestid" says it
  /// too, and alone is what buildctl has.
  std::optional<CallOptions> call;
  /// CONTEXT is "-": an archive or a Dockerfile comes on stdin. \see take_stdin_context.
  bool context_from_stdin = false;
  std::optional<std::string> dockerfile_text;  ///< Read already.
  /// Frontend options that name an image of an OCI layout by its tag, or by nothing: its digest is to
  /// be looked up.
  std::vector<std::string> layout_contexts;
  std::vector<OutputOptions> outputs;  ///< Empty: the result stays in the store (F4.1.5).
  std::vector<std::string> tags;  ///< -t, as written; also in the `name` attribute of the outputs.
  bool no_cache = false;          ///< Ignore the cache for every vertex.
  std::vector<CacheOptions> cache_exports;
  std::vector<CacheOptions> cache_imports;
  ProgressMode progress = ProgressMode::kAuto;
  std::filesystem::path trace_file;       ///< --trace: SolveStatus lines are appended; empty: none.
  bool explain = false;                   ///< --explain: each step that runs says why.
  bool timings = false;                   ///< --timings: at the end, where the time went.
  std::filesystem::path metadata_file;    ///< Empty: none.
  std::filesystem::path iid_file;         ///< The image's config digest; empty: none.
  std::filesystem::path ref_file;         ///< The build's id; empty: none.
  std::vector<std::string> entitlements;  ///< --allow: network.host, security.insecure, device...
  std::vector<ops::SecretSource> secrets;
  std::vector<ops::SshSource> ssh;
  std::vector<CacheOptions> mounts_to;    ///< --cache-mounts-to.
  std::vector<CacheOptions> mounts_from;  ///< --cache-mounts-from.
};

struct DiskUsageOptions {
  GlobalOptions global;
  std::vector<std::string> filters;
  bool verbose = false;
  bool json = false;  ///< --json, or --format '{{json .}}', the only template there is.
};

struct PruneCommandOptions {
  GlobalOptions global;
  std::vector<std::string> filters;
  bool all = false;
  bool verbose = false;
  bool json = false;
  std::chrono::seconds keep_duration{0};
  std::int64_t max_used_bytes = 0;  ///< --keep-storage.
  std::int64_t reserved_bytes = 0;  ///< --keep-storage-min.
  std::int64_t min_free_bytes = 0;  ///< --free-storage.
};

/// `cache verify`.
struct CacheVerifyOptions {
  GlobalOptions global;
  bool json = false;
};

/// `why [STEP]`.
struct WhyOptions {
  GlobalOptions global;
  std::string step;  ///< A number, or a part of the name; empty: all that ran.
  bool json = false;
};

struct ImagesOptions {
  GlobalOptions global;
  bool quiet = false;
  bool json = false;
};

struct InspectOptions {
  enum class What { kSummary, kManifest, kConfig, kReferrers };
  GlobalOptions global;
  std::string name;  ///< As written; can be parsed.
  What what = What::kSummary;
  std::string artifact_type;  ///< Of the referrers to list; empty: all.
  bool json = false;          ///< The referrers as one JSON object each.
};

struct PullOptions {
  GlobalOptions global;
  std::string name;      ///< As written; can be parsed.
  std::string platform;  ///< Can be parsed; empty: this machine's.
  ProgressMode progress = ProgressMode::kAuto;
};

/// `push NAME [DESTINATION]`.
struct PushCommandOptions {
  GlobalOptions global;
  std::string name;         ///< As written; can be parsed.
  std::string destination;  ///< The same; never empty.
  ProgressMode progress = ProgressMode::kAuto;
};

struct DoctorOptions {
  GlobalOptions global;
};

struct DumpLlbOptions {
  std::string file;  ///< Empty or "-": stdin.
  bool dot = false;
};

/// `debug dockerfile2llb`: as build, but the definition goes to stdout and nothing runs.
struct DockerfileToLlbOptions {
  BuildOptions build;
};

/// `version`, `--version`.
struct VersionOptions {};

/// A help text to print on stdout, and nothing else to do.
struct HelpOptions {
  std::string text;
};

using Command =
    std::variant<BuildOptions, DiskUsageOptions, PruneCommandOptions, CacheVerifyOptions, WhyOptions,
                 ImagesOptions, InspectOptions, PullOptions, PushCommandOptions, DoctorOptions, DumpLlbOptions,
                 DockerfileToLlbOptions, VersionOptions, HelpOptions>;

/// What surrounds the process, as far as the meaning of a command line depends on it.
struct Surroundings {
  Environment environment;
  bool stdin_is_terminal = false;
  bool stdout_is_terminal = false;
  bool is_root = false;  ///< Effective uid 0.
};

/// The process's own.
[[nodiscard]] Surroundings process_surroundings();

/// Reads the arguments that follow the program's name.
/// \throws Error kInvalidInput for unknown commands and flags (with a suggestion), wrong values,
/// and kUnsupported for flags of docker or buildctl that cobuild does not have yet.
[[nodiscard]] Command parse_command_line(std::vector<std::string> arguments,
                                         const Surroundings& surroundings);

/// One value of --output (F4.1.2, F4.1.3, F10.91): quoted CSV with keys in lower case; a bare path
/// is type=local, a bare "-" is type=tar to stdout. \throws Error kInvalidInput with BuildKit's
/// message.
[[nodiscard]] OutputOptions parse_output(const std::string& text, const Surroundings& surroundings);

/// --push as docker buildx has it: images are pushed, and there is one.
void ask_for_push(std::vector<OutputOptions>& outputs);

/// --load as docker buildx has it: what is for docker and goes nowhere else is loaded, and there is
/// such an output.
void ask_for_load(std::vector<OutputOptions>& outputs);

/// One value of --cache-to, --cache-from and buildctl's flags of that kind: an entry, or names of
/// registry caches. \throws Error kInvalidInput.
[[nodiscard]] std::vector<CacheOptions> parse_cache(const std::string& text, std::string_view flag);

/// One value of --secret (F7.3.1). \throws Error kInvalidInput with BuildKit's message.
[[nodiscard]] ops::SecretSource parse_secret(const std::string& text, const Surroundings& surroundings);

/// One value of --ssh (F7.3.3, F7.3.4). \throws Error kInvalidInput with BuildKit's message.
[[nodiscard]] ops::SshSource parse_ssh(const std::string& text, const Surroundings& surroundings);

/// --root, else $COBUILD_ROOT, else /var/lib/cobuild for root, else $XDG_DATA_HOME/cobuild, else
/// ~/.local/share/cobuild. \throws Error kInvalidInput when none of them is known.
[[nodiscard]] std::filesystem::path resolve_root(const std::string& flag,
                                                 const Surroundings& surroundings);

}  // namespace cobuild::cli
