#pragma once

/// From a solved result to what --output asks for.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/cache_transfer.hpp"
#include "cli/options.hpp"
#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/base/error.hpp"
#include "core/base/go_time.hpp"
#include "core/progress/events.hpp"
#include "core/solve/op.hpp"
#include "oci/spec/platform.hpp"

namespace cobuild::cli {

/// What was built for one platform.
struct BuiltTarget {
  store::LayerChain layers;
  std::string image_config;  ///< As the frontend wrote it; empty: the default one (F4.5.11).
  std::optional<std::string> base_image_config;
  pb::Platform platform;
  std::optional<Timestamp> epoch;  ///< SOURCE_DATE_EPOCH.
};

/// What there is to export.
struct BuiltResult {
  std::vector<BuiltTarget> targets;  ///< At least one; in the order they were asked for.
  /// An index, or a directory for each platform, even when there is only one.
  bool is_multi_platform = false;
  SolvedKeys keys;            ///< When a cache is to be exported.
  bool inline_cache = false;  ///< Images carry their cache.
  std::map<std::string, std::string> response;  ///< Grows by the exporters' answers (F4.1.9).
  std::vector<std::string> warnings;  ///< Shown by the first exporter.
  /// Why an image that was made is not where it was to be pushed to: the first of several.
  std::optional<Error> push_failure;
};

/// Whether the ID of an image is wanted, whatever the outputs are (-q, --iidfile).
[[nodiscard]] bool wants_image_id(const BuildOptions& options);

/// What the platforms rule out, known once the frontend has run. \throws Error kInvalidInput.
void check_outputs(const std::vector<OutputOptions>& outputs, const BuiltResult& result);

/// What the images of the result are for.
[[nodiscard]] std::vector<oci::Platform> platforms_of(const BuiltResult& result);

/// Makes the image and writes it nowhere: only its digests are wanted (-q, --iidfile).
/// \throws Error what sealing throws.
Task<void> identify_image(BuiltResult& result, Workspace& workspace, progress::Sink& progress);

/// Writes `result` to `output`, as a step of its own. Files appear whole or not at all. When only
/// the push fails, the step is shown as failed and BuiltResult::push_failure says why.
/// \throws Error; kUnavailable for a full disk.
Task<void> export_result(const OutputOptions& output, BuiltResult& result, Workspace& workspace,
                         progress::Sink& progress);

}  // namespace cobuild::cli
