#pragma once

/// Where a build's progress goes: the display on stderr, the trace file, the log files; all at
/// once.

#include <boost/asio/io_context.hpp>

#include <filesystem>
#include <memory>
#include <string_view>

#include "cli/options.hpp"
#include "cli/progress_state.hpp"
#include "core/async/task.hpp"
#include "core/progress/events.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::cli {

/// One place that progress goes to.
class ProgressOutput : public progress::Sink {
 public:
  /// Called several times a second; draws what has changed, and the clock.
  virtual void refresh() {}
  /// Called once, after the last event.
  virtual void finish() {}
};

/// Gives each event to all outputs, and refreshes them by a timer on the loop.
///
/// Make it inside the build's coroutine and let it end there: the timer counts as work of the loop.
class ProgressDisplay final : public progress::Sink {
 public:
  struct Options {
    ProgressMode mode = ProgressMode::kAuto;
    int fd = 2;                        ///< Where the display is drawn; not owned.
    Environment environment;           ///< Colours, rates and sizes.
    std::filesystem::path trace_file;  ///< Appended to; empty: none.
    std::filesystem::path
        logs_directory;  ///< Gets one file for each step with output; empty: none.
  };

  /// Chooses and opens the outputs.
  /// \throws Error kInvalidInput for mode tty without a terminal, or when the trace file cannot be
  /// opened. A logs directory that cannot be written is no reason not to build.
  ProgressDisplay(asio::io_context& loop, Options options);
  ~ProgressDisplay() override;
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  void on_vertex(const progress::Vertex& vertex) override;
  void on_status(const progress::Status& status) override;
  void on_log(const progress::Log& log) override;
  void on_warning(const progress::Warning& warning) override;

  /// Draws the last state, with the output of failed steps, and stops the timer. Nothing is drawn
  /// afterwards. Call it before the error is reported; the destructor does it too.
  void finish();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Opens a trace file, to be appended to. \throws Error naming the path.
[[nodiscard]] UniqueFd open_trace(const std::filesystem::path& path);

/// Writes all of `text`, or as much as the other side takes: progress has nobody to report errors
/// to.
void write_all(int fd, std::string_view text);

/// The outputs by themselves, for tests and other callers. `fd` is borrowed.
[[nodiscard]] std::unique_ptr<ProgressOutput> make_plain_output(int fd,
                                                                const Environment& environment,
                                                                ProgressState::Clock clock);
[[nodiscard]] std::unique_ptr<ProgressOutput> make_tty_output(int fd,
                                                              const Environment& environment,
                                                              ProgressState::Clock clock);
[[nodiscard]] std::unique_ptr<ProgressOutput> make_json_output(int fd);
/// Writes each step's output, unclipped, to `directory`/<n>-<name>.log; made at the first output.
/// Of the directories beside it, the oldest are removed beyond kBuildLogsMax.
inline constexpr std::size_t kBuildLogsMax = 50;
[[nodiscard]] std::unique_ptr<ProgressOutput> make_log_files_output(
    std::filesystem::path directory);

}  // namespace cobuild::cli
