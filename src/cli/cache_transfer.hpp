#pragma once

/// --cache-from and --cache-to (F5.2): caches in before a build, and out after it.

#include <map>
#include <string>
#include <vector>

#include "cli/options.hpp"
#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/progress/events.hpp"
#include "core/solve/cache_record.hpp"

namespace cobuild::cli {

/// What is wrong with them, found before anything is built: unknown types, missing and malformed
/// values. \throws Error kInvalidInput.
void check_caches(const BuildOptions& options);

/// Whether --cache-to type=inline was given: images carry their cache.
[[nodiscard]] bool wants_inline_cache(const BuildOptions& options);
/// Whether anything is to be known of the build's keys after it.
[[nodiscard]] bool exports_cache(const BuildOptions& options);

/// All that can be imported, each as a step of its own; the others fail theirs, and nothing else
/// (F5.2.10). Layers are not fetched.
Task<std::vector<solve::ImportedCache>> import_caches(const BuildOptions& options,
                                                      Workspace& workspace,
                                                      progress::Sink& progress);

/// What a build leaves to be exported.
struct SolvedKeys {
  std::vector<solve::KeyRecord> records;
  std::vector<store::LayerChain> results;
};

/// Sends `keys` to every --cache-to but inline ones, each as a step of its own; `response` gets
/// cache.manifest (F5.2.8). \throws Error the first that is not to be ignored (F5.2.3).
Task<void> export_caches(const BuildOptions& options, const SolvedKeys& keys, Workspace& workspace,
                         progress::Sink& progress, std::map<std::string, std::string>& response);

}  // namespace cobuild::cli
