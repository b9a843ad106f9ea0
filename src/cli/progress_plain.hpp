#pragma once

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "cli/progress_state.hpp"

namespace cobuild::cli {

/// Plain text, one line per event, one step at a time (F7.2.2 to F7.2.8). It stays on one step as
/// long as that is fair to the others; what it says about a step is complete all the same, only
/// later.
class PlainPrinter {
 public:
  struct Options {
    bool truncate_names = false;  ///< PROGRESS_NO_TRUNC=0.
  };

  explicit PlainPrinter(Options options) : options_(options) {}

  /// The text to write for what has happened since the last call.
  [[nodiscard]] std::string print(ProgressState& state, Timestamp now);

  /// The last lines of `step`'s output, for the error summary.
  [[nodiscard]] std::vector<std::string> last_lines(const Step& step) const;

 private:
  struct Shown {
    std::size_t index = 0;       ///< The N of "#N"; 0: not shown yet.
    std::size_t line_bytes = 0;  ///< How much of an unfinished line is on screen.
    std::size_t warnings = 0;
    std::deque<std::string> last_lines;
    struct LastStatus {
      std::int64_t current = 0;
      Timestamp at;
    };
    std::map<std::string, LastStatus> statuses;
  };

  void print_step(ProgressState& state, Step* step, Timestamp now);
  void print_completed(ProgressState& state, std::vector<Step*>& active, Timestamp now);
  void switch_to(Step* step);
  bool print_statuses(Step& step, Shown& shown);
  void print_log(Step& step, Shown& shown);
  void print_end(const Step& step, const Shown& shown, Timestamp now);
  static Step* choose_active(const std::vector<Step*>& active, const Step* stay, Timestamp now);

  Options options_;
  std::map<const Step*, Shown> shown_;
  Step* current_ = nullptr;
  std::size_t indexes_ = 0;
  std::string out_;
};

}  // namespace cobuild::cli
