#pragma once

/// What --timings tells at the end of a build: a table for people, or one line of JSON for whoever
/// reads the progress as JSON.

#include <cstddef>
#include <string>
#include <vector>

#include "cli/progress_state.hpp"
#include "core/base/timings.hpp"
#include "core/progress/events.hpp"

namespace cobuild::cli {

struct StepTime {
  std::string name;
  std::chrono::nanoseconds time{0};  ///< While it ran.
};

inline constexpr std::size_t kSlowestStepsMax = 5;

/// The steps that took longest, the slowest one first; without those that were cached.
[[nodiscard]] std::vector<StepTime> slowest_steps(const ProgressState& state);

/// The table, in milliseconds, each phase on a line; "other" is when none of them was going on.
[[nodiscard]] std::string render_timings(const Timings::Report& report,
                                         const std::vector<StepTime>& steps);

/// {"timings":{...}}, in nanoseconds and bytes, without a newline: readers of BuildKit's
/// SolveStatus find nothing of theirs in it.
[[nodiscard]] std::string to_json_line(const Timings::Report& report,
                                       const std::vector<StepTime>& steps);

/// Passes events on, and keeps of them how long the steps took.
class StepTimes final : public progress::Sink {
 public:
  /// Both must outlive it.
  StepTimes(progress::Sink& next, ProgressState& steps) : next_(next), steps_(steps) {}

  void on_vertex(const progress::Vertex& vertex) override {
    steps_.on_vertex(vertex);
    next_.on_vertex(vertex);
  }
  void on_status(const progress::Status& status) override { next_.on_status(status); }
  void on_log(const progress::Log& log) override { next_.on_log(log); }
  void on_warning(const progress::Warning& warning) override { next_.on_warning(warning); }

 private:
  progress::Sink& next_;
  ProgressState& steps_;
};

}  // namespace cobuild::cli
