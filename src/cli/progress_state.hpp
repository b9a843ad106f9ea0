#pragma once

/// What the displays know about a running build: events folded into steps. Pure; time is injected.

#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"
#include "core/progress/events.hpp"

namespace cobuild::cli {

/// One stretch of time during which a step ran.
struct Run {
  Timestamp start;
  std::optional<Timestamp> stop;  ///< nullopt: still running.
};

/// Runs that overlap become one; sorted by start. A run that has not stopped swallows all later
/// ones.
[[nodiscard]] std::vector<Run> merge_runs(
    const std::map<Timestamp, std::optional<Timestamp>>& runs);

/// The seconds covered by merged runs, open ones counted up to `now`.
[[nodiscard]] double total_seconds(const std::vector<Run>& runs, Timestamp now);

/// A step's output as stamped lines: "0.123 text" (F7.2.4). Pieces of a line are joined.
class LogLines {
 public:
  static constexpr std::size_t kLineBytesMax = 64 << 10;  ///< A longer line is broken here.

  /// `seconds`: since the step began; stamped on lines that start in this piece.
  void append(std::string_view data, double seconds);
  /// Drops the oldest complete lines until at most `bytes` are held.
  void keep_last(std::size_t bytes);
  /// Drops all complete lines; what stays is at most the beginning of one.
  void drop_complete();

  [[nodiscard]] const std::deque<std::string>& lines() const noexcept { return lines_; }
  /// Whether the last line has not ended yet.
  [[nodiscard]] bool is_partial() const noexcept { return partial_; }
  [[nodiscard]] bool was_clipped() const noexcept { return clipped_; }

 private:
  std::deque<std::string> lines_;
  std::size_t bytes_ = 0;
  bool partial_ = false;
  bool clipped_ = false;
};

/// A vertex, or a group of vertices, as shown.
struct Step {
  std::string name;
  bool cached = false;
  std::string error;                       ///< Empty: none.
  bool hidden = false;                     ///< A group none of whose important members has started.
  std::vector<Run> runs;                   ///< Merged.
  std::vector<progress::Status> statuses;  ///< Those that have started, in that order.
  std::set<std::string> changed_statuses;  ///< Ids, since the printer last looked.
  std::vector<progress::Warning> warnings;
  LogLines log;
  std::size_t activity = 0;  ///< Events since this step was last the one on display.
  std::optional<Timestamp> waiting_since;

  [[nodiscard]] bool is_started() const noexcept { return !runs.empty(); }
  [[nodiscard]] bool is_completed() const noexcept {
    return !runs.empty() && runs.back().stop.has_value();
  }
  /// Stopped because of another step's failure, or by the user.
  [[nodiscard]] bool is_cancelled() const noexcept { return error.ends_with("context canceled"); }
  [[nodiscard]] bool is_failed() const noexcept { return !error.empty() && !is_cancelled(); }
};

class ProgressState {
 public:
  using Clock = std::function<Timestamp()>;
  struct Counts {
    std::size_t total = 0;
    std::size_t completed = 0;
  };

  explicit ProgressState(Clock clock) : clock_(std::move(clock)) {}

  void on_vertex(const progress::Vertex& vertex);
  void on_status(const progress::Status& status);
  void on_log(const progress::Log& log);
  void on_warning(const progress::Warning& warning);

  /// The step that shows this vertex: its own or its group's; null when it was never announced.
  [[nodiscard]] Step* find(const Digest& vertex) const;
  /// Steps in the order in which they started.
  [[nodiscard]] const std::vector<Step*>& started() const noexcept { return started_; }
  [[nodiscard]] Counts counts() const;
  /// When the first step started.
  [[nodiscard]] std::optional<Timestamp> started_at() const noexcept { return started_at_; }

  /// Steps with news, in the order in which the news came; the printer removes what it has shown.
  [[nodiscard]] std::vector<Step*>& changed() noexcept { return changed_; }

 private:
  struct Member {
    progress::Vertex vertex;
    Step* step = nullptr;
    std::map<Timestamp, std::optional<Timestamp>> runs;
    bool seen = false;
  };
  struct GroupState {
    Step* step = nullptr;
    std::vector<Digest> members;
    std::map<Timestamp, std::optional<Timestamp>> runs;
  };

  Step* add_step();
  void mark_changed(Step* step);
  void add_activity(Step* step);
  void update_single(Member& member, const progress::Vertex& vertex);
  void update_group(const progress::Vertex& vertex);
  bool fold_members(GroupState& group);

  Clock clock_;
  std::vector<std::unique_ptr<Step>> steps_;
  std::unordered_map<Digest, Member> members_;
  std::map<std::string, GroupState> groups_;
  std::vector<Step*> started_;
  std::vector<Step*> changed_;
  std::optional<Timestamp> started_at_;
};

/// F7.2.12: for each failed step a block with its name and last lines. `lines_of` gives those
/// lines.
[[nodiscard]] std::string render_error_logs(
    const ProgressState& state,
    const std::function<std::vector<std::string>(const Step& step)>& lines_of);

/// printf's "%.*f", which std::to_string cannot.
[[nodiscard]] std::string format_fixed(double value, int decimals);

}  // namespace cobuild::cli
