#pragma once

/// From a solved result to what --output asks for.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cli/options.hpp"
#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/base/go_time.hpp"
#include "core/progress/events.hpp"
#include "core/solve/op.hpp"

namespace cobuild::cli {

/// What there is to export.
struct BuiltTarget {
  store::LayerChain layers;
  std::string image_config;  ///< As the frontend wrote it; empty: the default one (F4.5.11).
  std::optional<std::string> base_image_config;
  pb::Platform platform;
  std::optional<Timestamp> epoch;  ///< SOURCE_DATE_EPOCH.
  std::map<std::string, std::string> response;  ///< Grows by the exporters' answers (F4.1.9).
};

/// What is wrong with the outputs, found before anything is built: unknown types, values that do not
/// parse, exporters that this version does not have, a stdout that is a terminal.
/// \throws Error kInvalidInput, kUnsupported.
void check_outputs(const std::vector<OutputOptions>& outputs);

/// Makes the image of `target` and writes it nowhere: only its digests are wanted (-q, --iidfile).
/// \throws Error what sealing throws.
Task<void> identify_image(BuiltTarget& target, Workspace& workspace, progress::Sink& progress);

/// Writes `target` to `output`, as a step of its own. Files appear whole or not at all.
/// \throws Error; kUnavailable for a full disk.
Task<void> export_target(const OutputOptions& output, BuiltTarget& target, Workspace& workspace,
                         progress::Sink& progress);

}  // namespace cobuild::cli
