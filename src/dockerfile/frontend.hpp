#pragma once

/// The front door of the Dockerfile frontend: text in, LLB and image config out. Pure: no I/O, no
/// coroutines. What has to be fetched or read is asked for in a list and handed in:
///
///     Parsed parsed = parse(text, "Dockerfile");
///     if (std::optional<EpochSource> source = find_epoch_source(parsed, options)) {
///       …options.source_date_epoch = the time of source…
///     }
///     ResolvedImages images;
///     for (;;) {
///       std::vector<ImageRequest> missing = list_base_images(parsed, options, images);
///       if (missing.empty()) break;
///       …resolve them, at the same time, into images…
///     }
///     Lowered lowered = lower(parsed, options, images);
///
/// The loop ends: ONBUILD triggers of an image may name further images, kImageRounds_max rounds deep.

#include <compare>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/go_time.hpp"
#include "core/llb/ops.pb.h"
#include "dockerfile/options.hpp"
#include "dockerfile/warning.hpp"

namespace cobuild::dockerfile {

constexpr std::size_t kDockerfileBytes_max = 16U << 20U;
constexpr int kImageRounds_max = 32;

struct ParsedFile;  ///< Private to the frontend: parsed_file.hpp.

/// A Dockerfile that was read. Cheap to copy.
struct Parsed {
  std::shared_ptr<const ParsedFile> file;
  /// Everything that is wrong with the text itself, in the order of lines; each carries its SourceSpan
  /// and BuildKit's message ("dockerfile parse error on line N: …"). Empty: it can be lowered.
  std::vector<Error> errors;

  /// \throws the first of `errors`, if there is one.
  void throw_if_bad() const;
};

/// Reads a Dockerfile. Does not throw for bad text: see Parsed::errors. `filename` is used in messages
/// and in the definition's source map.
[[nodiscard]] Parsed parse(std::string text, std::string filename);

/// The frontend image that `# syntax=` or opt build-arg:BUILDKIT_SYNTAX names (F1.1.4, F1.1.5); nullopt
/// for none. cobuild has its own frontend, so this is for the caller to warn about or to ignore.
[[nodiscard]] std::optional<std::string> detect_syntax(const std::string& text);

/// Which image config is meant.
struct ImageKey {
  std::string reference;  ///< Normalised: "docker.io/library/alpine:latest".
  std::string platform;   ///< format_platform().
  friend auto operator<=>(const ImageKey&, const ImageKey&) = default;
};

/// Something to look up: mostly an image.
struct ImageRequest {
  enum class Kind {
    kImage,        ///< `key.reference` in its registry.
    kLayoutImage,  ///< `reference` in the OCI layout called `store`.
    kIgnoreFile,   ///< .dockerignore in the user's directory called `store`, a named context.
  };
  Kind kind = Kind::kImage;
  std::string store;
  std::string reference;
  ImageKey key;
  pb::Platform platform;
  ImageResolveMode resolve_mode = ImageResolveMode::kDefault;
  std::string written;      ///< As the Dockerfile says it: "alpine". Goes before the error's text.
  std::string step_name;    ///< "[internal] load metadata for docker.io/library/alpine:latest".
  SourceSpan span;          ///< For errors.
  std::shared_ptr<const std::vector<std::string>> known_names;  ///< Stages, and images that are common; null: nobody types it.

  /// " (did you mean x?)" or nothing: to append when the image does not exist (F1.4.7).
  [[nodiscard]] std::string suggestion() const;
};

struct ResolvedImage {
  std::string digest;  ///< "sha256:…" of the manifest or index that the reference names.
  /// The image config's JSON, for the platform asked for. Of an ignore file: its text, empty when there
  /// is none.
  std::string config;
};

using ResolvedImages = std::map<ImageKey, ResolvedImage>;

/// The images that must be resolved before lower() can be called and that `resolved` lacks: bases of
/// stages that the target needs, and COPY --from images. In the order of the file, each once.
/// \throws Error kInvalidInput or kUnsupported, with its place, for what is wrong with the stages.
[[nodiscard]] std::vector<ImageRequest> list_base_images(const Parsed& parsed,
                                                         const ConvertOptions& options,
                                                         const ResolvedImages& resolved);

/// What SOURCE_DATE_EPOCH names when it is no number: a repository or a download, the time of which is
/// the epoch (F1.5.26, F1.5.27).
struct EpochSource {
  pb::SourceOp source;
  std::string step_name;  ///< For progress.
};

/// nullopt when SOURCE_DATE_EPOCH is a number or nothing; or names something that has no time, which
/// is what the user's directories and images are: then it counts as not set.
/// \throws Error kInvalidInput `invalid SOURCE_DATE_EPOCH: …`, or why the stage it names will not do.
[[nodiscard]] std::optional<EpochSource> find_epoch_source(const Parsed& parsed,
                                                           const ConvertOptions& options);

struct Lowered {
  /// What to build. Without ops (def is empty) when the result is scratch.
  pb::Definition definition;
  /// The result's config as oci::to_json writes it, for oci::patch_image_config: `created` is missing,
  /// in new history entries too unless there is an epoch, and rootfs.diff_ids are the base image's.
  std::string image_config;
  /// The config that the target's base image had; unset for scratch. Its history entries keep their
  /// dates when an epoch is set (F10.96).
  std::optional<std::string> base_image_config;
  pb::Platform platform;           ///< The one built for, whatever the base image says of itself.
  std::optional<Timestamp> epoch;  ///< SOURCE_DATE_EPOCH.
  std::vector<Warning> warnings;
  std::string target_stage;        ///< Its name, "stage-N" when it has none, "" when it is the only one.
  /// What the build reads from the context: relative paths, may have wildcards. Empty when `def` has
  /// no local source, or all of it is needed.
  std::vector<std::string> context_paths;
  bool ignore_cache = false;       ///< The target's stage is among no_cache_stages.
};

/// Turns the target stage and all it needs into LLB: the same bytes as BuildKit v0.32's frontend.
/// \throws Error kInvalidInput or kUnsupported, with the place in the Dockerfile.
[[nodiscard]] Lowered lower(const Parsed& parsed, const ConvertOptions& options,
                            const ResolvedImages& resolved);

/// What options.remote_context is, for the caller to solve and read the Dockerfile from: all of it, since
/// opt contextsubdir does not move the Dockerfile.
[[nodiscard]] pb::Definition remote_context_definition(const ConvertOptions& options);

/// Of a context by HTTP: just the download, the file "context". What is in it decides what kind of
/// context it is.
[[nodiscard]] pb::Definition context_download_definition(const ConvertOptions& options);

/// Whether a file that begins like this is an archive with a context in it, else it is a Dockerfile
/// (F1.10.7, F1.10.8): tar, plain or packed by gzip, bzip2 or xz.
inline constexpr std::size_t kArchiveHeadBytes = 1024;
[[nodiscard]] bool is_context_archive(std::string_view head);

/// Names of the steps that happen before lower(), as progress shows them.
[[nodiscard]] std::string load_dockerfile_step_name(const ConvertOptions& options);
[[nodiscard]] std::string load_ignore_file_step_name();

}  // namespace cobuild::dockerfile
