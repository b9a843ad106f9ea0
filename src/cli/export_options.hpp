#pragma once

/// What an --output's attributes say (F4.2, F4.3.1, F4.4.1), read as BuildKit's exporters read
/// them. Pure. Keys that no exporter knows are passed over (F4.2.20).

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.hpp"
#include "cli/push_options.hpp"
#include "core/base/go_time.hpp"
#include "oci/spec/platform.hpp"
#include "ops/sealer.hpp"

namespace cobuild::cli {

/// Annotations by where they are written (F4.2.17).
struct Annotations {
  using Texts = std::map<std::string, std::string>;
  Texts index;
  Texts index_descriptor;
  Texts manifest;
  Texts manifest_descriptor;

  friend bool operator==(const Annotations&, const Annotations&) = default;
};

/// The attribute source-date-epoch; without a time it says that there is none, whatever the build
/// says (F4.1.6).
struct EpochAttribute {
  std::optional<Timestamp> time;
};

/// Which layers become one.
enum class Squash { kNone, kNew, kAll };

struct ExportOptions {
  PushOptions push;                ///< Of type=image.
  std::vector<std::string> names;  ///< Of archives and layouts: normalised.
  ops::SealRequest seal;
  Squash squash = Squash::kNone;
  bool rewrite_timestamp = false;
  /// Layers that their licence forbids to distribute keep their type; else they become ordinary
  /// ones.
  bool prefer_nondistributable = false;
  std::optional<EpochAttribute> epoch;
  bool delete_extra = false;           ///< local, mode=delete.
  std::optional<bool> platform_split;  ///< local: whether each platform has a directory of its own.
  /// By platform, as oci::format_platform_all() writes it normalised; "": of every platform.
  std::map<std::string, Annotations> annotations;

  /// The time to clamp to: the attribute's, else `of_build`.
  [[nodiscard]] std::optional<Timestamp> epoch_or(std::optional<Timestamp> of_build) const {
    return epoch ? epoch->time : of_build;
  }
};

/// \throws Error kInvalidInput in BuildKit's words for values that do not parse and keys that
/// exclude each other.
[[nodiscard]] ExportOptions parse_export_options(const OutputOptions& output);

/// What applies to the image of `platform` in an index; with no platform, to an image alone or to
/// the index itself.
[[nodiscard]] Annotations annotations_of(const ExportOptions& options,
                                         const std::optional<oci::Platform>& platform);

/// What is wrong with annotations once the platforms are known (F4.5.12). `is_index`: the result is
/// an index of images for `platforms`. \throws Error kInvalidInput.
void check_annotations(const ExportOptions& options, const std::vector<oci::Platform>& platforms,
                       bool is_index);

/// What is wrong with the outputs, found before anything is built: unknown types, values that do
/// not parse, a stdout that is asked for twice. \throws Error kInvalidInput.
void check_outputs(const std::vector<OutputOptions>& outputs);

/// One value of --annotation, `[TYPE[[PLATFORM]][,...]:]KEY=VALUE`, as the attributes that image
/// exporters take. \throws Error kInvalidInput in docker buildx's words.
[[nodiscard]] std::map<std::string, std::string> parse_annotation_flag(const std::string& text);

}  // namespace cobuild::cli
