#pragma once

/// SOURCE_DATE_EPOCH as the time of a repository or a download (F1.5.26, F1.5.27).

#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/progress/events.hpp"
#include "dockerfile/frontend.hpp"

namespace cobuild::cli {

/// Sets convert.source_date_epoch when SOURCE_DATE_EPOCH names a source: to when the commit was
/// made, or what the server says of when the download was modified, or else the newest file of an
/// archive; to nothing when there is no such time. What was fetched for it is used by the build as
/// well.
/// \throws Error for what cannot be a source, and what fetching one throws.
Task<void> settle_epoch(const dockerfile::Parsed& parsed, dockerfile::ConvertOptions& convert,
                        Workspace& workspace, progress::Sink& progress);

}  // namespace cobuild::cli
