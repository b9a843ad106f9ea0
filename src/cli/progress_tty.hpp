#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cli/progress_colors.hpp"
#include "cli/progress_state.hpp"
#include "cli/terminal_screen.hpp"

namespace cobuild::cli {

/// The display that redraws itself in place (F7.2.9): a header, a row for each step and status, and
/// windows onto the output of running steps. Makes text only; who owns the terminal writes it.
class TtyPainter {
 public:
  struct Size {
    std::size_t columns = 80;
    std::size_t rows = 10;
  };
  struct Options {
    ProgressColors colors;
    std::size_t log_rows = 6;  ///< $BUILDKIT_TTY_LOG_LINES
  };
  /// What a frame shows: everything that fits, or, at the end of the build, everything.
  enum class Frame { kFitting, kWhole };

  explicit TtyPainter(Options options) : options_(std::move(options)) {}

  /// Plays a piece of a step's output into its window.
  void on_log(const Step* step, std::string_view data, Size size);

  /// The sequence that replaces the frame before with this one. The cursor is left below it.
  [[nodiscard]] std::string paint(const ProgressState& state, Size size, Timestamp now,
                                  Frame frame);

 private:
  struct Window {
    TerminalScreen screen;
    std::size_t bytes = 0;   ///< Written so far; busier windows are shown first,
    std::size_t frames = 0;  ///< as are those that have been shown more.
  };
  struct Row {
    std::string name;
    std::string status;
    double seconds = 0;
    bool completed = false;
    const std::string* color = nullptr;  ///< Used once completed.
    Window* window = nullptr;            ///< Of a running step with output.
    bool show_window = false;
  };
  /// A line of the frame: its text, and how many columns that takes.
  struct Line {
    std::string text;
    std::size_t columns = 0;
  };

  [[nodiscard]] std::vector<Row> make_rows(const ProgressState& state, Timestamp now);
  void add_step_rows(std::vector<Row>& rows, const Step& step, Timestamp now);
  void open_windows(std::vector<Row>& rows, Size size, std::size_t& rows_hidden);
  [[nodiscard]] Line header(const ProgressState& state, Size size, Timestamp now,
                            Frame frame) const;
  [[nodiscard]] bool add_row(std::vector<Line>& lines, const Row& row, Size size) const;
  [[nodiscard]] std::string move_to_top(Size size) const;

  Options options_;
  std::map<const Step*, Window> windows_;
  std::vector<std::size_t> drawn_;  ///< The columns of each line of the frame on screen.
};

/// Of `rows`, the last `limit`; running ones that would be cut take the places of completed ones.
/// `completed[i]` says of which kind row i is. Returns the indexes to show, in order.
[[nodiscard]] std::vector<std::size_t> fit_rows(const std::vector<bool>& completed,
                                                std::size_t limit);

}  // namespace cobuild::cli
