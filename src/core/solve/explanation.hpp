#pragma once

/// Why steps ran: what a build knows of it at its end, and how that is kept for later questions.
/// Plain values.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/go_time.hpp"
#include "core/solve/description.hpp"

namespace cobuild::solve {

enum class Reason {
  kNoCache,   ///< The cache was not to be used for it.
  kNoRecord,  ///< Nothing like it was built before.
  kDiffers,   ///< From the nearest record.
  kLost,      ///< It was built before, but its result is not in the store any more.
};

/// The nearest earlier record.
struct NearestRecord {
  std::string name;  ///< Of the step then.
  Timestamp created_at;
  std::string cache;  ///< The imported cache that it came from once; empty: it was made here.
};

/// A step before the one in question that is not as it was, which is why that one is not either.
struct Cause {
  std::string step;
  std::vector<Difference> differences;
};

/// What an imported cache has that is nearest. Only digests are known of it.
struct NearestImport {
  std::string cache;
  bool other_op = false;            ///< Another command, variable or mount.
  std::vector<Difference> inputs;  ///< kFiles and kInput.
};

struct Explanation {
  Reason reason = Reason::kNoRecord;
  std::optional<NearestRecord> record;
  std::vector<Difference> differences;
  std::vector<Cause> causes;
  std::optional<NearestImport> import;
};

inline constexpr std::size_t kCausesMax = 5;
/// Of one difference.
inline constexpr std::size_t kToldFilesMax = 20;

enum class Outcome { kRan, kFailed, kCached };

struct StepOutcome {
  std::string name;
  Outcome outcome = Outcome::kCached;
  std::optional<Explanation> explanation;  ///< Of those that ran.
};

/// The last build of a store.
struct BuildReport {
  Timestamp time;  ///< Of its end.
  std::string what;  ///< "DIR", "DIR (Dockerfile.dev)", a URL.
  bool succeeded = false;
  std::vector<StepOutcome> steps;  ///< Inputs before their users.
};

/// One object, for people's programs too: its members are not renamed.
[[nodiscard]] std::string to_json(const BuildReport& report);
/// Nullopt for what is no such object.
[[nodiscard]] std::optional<BuildReport> parse_build_report(std::string_view text);

}  // namespace cobuild::solve
