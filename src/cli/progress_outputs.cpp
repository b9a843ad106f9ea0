#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "cli/progress_display.hpp"
#include "cli/progress_json.hpp"
#include "cli/progress_plain.hpp"
#include "cli/progress_tty.hpp"
#include "core/solve/kept_name.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::cli {
namespace {

/// Folds events into a state; the subclasses draw it.
class StatefulOutput : public ProgressOutput {
 public:
  StatefulOutput(int fd, ProgressState::Clock clock)
      : fd_(fd), clock_(clock), state_(std::move(clock)) {}

  void on_vertex(const progress::Vertex& vertex) override { state_.on_vertex(vertex); }
  void on_status(const progress::Status& status) override { state_.on_status(status); }
  void on_log(const progress::Log& log) override { state_.on_log(log); }
  void on_warning(const progress::Warning& warning) override { state_.on_warning(warning); }

 protected:
  int fd_;
  ProgressState::Clock clock_;
  ProgressState state_;
};

class PlainOutput final : public StatefulOutput {
 public:
  PlainOutput(int fd, ProgressState::Clock clock, PlainPrinter::Options options)
      : StatefulOutput(fd, std::move(clock)), printer_(options) {}

  void refresh() override { write_all(fd_, printer_.print(state_, clock_())); }

  void finish() override {
    refresh();
    write_all(fd_, render_error_logs(
                       state_, [this](const Step& step) { return printer_.last_lines(step); }));
  }

 private:
  PlainPrinter printer_;
};

class TtyOutput final : public StatefulOutput {
 public:
  TtyOutput(int fd, ProgressState::Clock clock, TtyPainter::Options options,
            std::vector<std::string> complaints)
      : StatefulOutput(fd, std::move(clock)),
        painter_(std::move(options)),
        complaints_(std::move(complaints)) {}

  void on_vertex(const progress::Vertex& vertex) override {
    StatefulOutput::on_vertex(vertex);
    Step* const step = state_.find(vertex.digest);
    // Output is kept to be shown on failure; a step that ended well needs it no more.
    if (step != nullptr && step->is_completed() && !step->is_failed()) step->log.keep_last(0);
  }

  void on_log(const progress::Log& log) override {
    StatefulOutput::on_log(log);
    Step* const step = state_.find(log.vertex);
    if (step == nullptr) return;
    step->log.keep_last(kLogBytesMax);
    painter_.on_log(step, log.data, size());
  }

  void refresh() override { draw(TtyPainter::Frame::kFitting); }

  void finish() override {
    draw(TtyPainter::Frame::kWhole);
    write_all(fd_, render_error_logs(state_, lines_of));
  }

 private:
  static constexpr std::size_t kLogBytesMax = 256 << 10;

  static std::vector<std::string> lines_of(const Step& step) {
    std::vector<std::string> lines;
    if (step.log.was_clipped()) lines.emplace_back("[earlier output is in the build's log files]");
    for (const std::string& line : step.log.lines()) {
      auto const printable = without_controls(line);
      lines.push_back(printable);
    }
    return lines;
  }

  /// A line of output as it may be shown outside a window: as if played on a very wide screen.
  static std::string without_controls(const std::string& line) {
    TerminalScreen screen(1, TerminalScreen::kColumnsMax);
    if (line.size() > TerminalScreen::kColumnsMax) return to_printable(line);
    screen.write(line);
    auto lines = screen.lines();
    return lines.empty() ? std::string() : std::move(lines[0]);
  }

  static std::string to_printable(const std::string& line) {
    std::string out;
    Utf8Decoder decoder;
    decoder.write(line, [&](char32_t c) {
      if (c == U'\t' || (c >= U' ' && c != 0x7F && (c < 0x80 || c >= 0xA0))) append_utf8(out, c);
    });
    return out;
  }

  void draw(TtyPainter::Frame frame) {
    for (const std::string& complaint : std::exchange(complaints_, {})) {
      write_all(fd_, "warning: " + complaint + "\n");
    }
    if (!state_.started_at() && frame == TtyPainter::Frame::kFitting) return;
    write_all(fd_, painter_.paint(state_, size(), clock_(), frame));
  }

  [[nodiscard]] TtyPainter::Size size() const {
    winsize window{};
    if (::ioctl(fd_, TIOCGWINSZ, &window) != 0 || window.ws_col == 0 || window.ws_row == 0)
      return {};
    return TtyPainter::Size{window.ws_col, window.ws_row};
  }

  TtyPainter painter_;
  std::vector<std::string> complaints_;
};

class JsonOutput final : public ProgressOutput {
 public:
  explicit JsonOutput(int fd) : fd_(fd) {}
  void on_vertex(const progress::Vertex& vertex) override { write(to_json_line(vertex)); }
  void on_status(const progress::Status& status) override { write(to_json_line(status)); }
  void on_log(const progress::Log& log) override { write(to_json_line(log)); }
  void on_warning(const progress::Warning& warning) override { write(to_json_line(warning)); }

 private:
  void write(std::string line) { write_all(fd_, line += '\n'); }
  int fd_;
};

class LogFilesOutput final : public ProgressOutput {
 public:
  explicit LogFilesOutput(std::filesystem::path directory) : directory_(std::move(directory)) {}

  void on_vertex(const progress::Vertex& vertex) override {
    LogFile& file = files_[vertex.digest];
    if (file.name.empty()) file.name = vertex.name;
    if (vertex.completed) file.fd.reset();
  }
  void on_status(const progress::Status&) override {}
  void on_warning(const progress::Warning&) override {}
  void on_log(const progress::Log& log) override {
    LogFile& file = files_[log.vertex];
    if (!file.fd) open(file);
    if (file.fd) write_all(file.fd->get(), log.data);
  }

 private:
  static constexpr std::size_t kNameMax = 60;

  struct LogFile {
    std::string name;
    std::filesystem::path path;  ///< Empty until there is output.
    std::optional<UniqueFd> fd;  ///< Closed when the step has completed.
  };

  void open(LogFile& file) {
    if (file.path.empty()) {
      std::error_code ignored;  // Then opening fails, and the output is on screen only.
      if (std::filesystem::create_directories(directory_, ignored)) {
        remove_oldest(directory_.parent_path());
      }
      file.path = directory_ / (std::to_string(++count_) + "-" + file_name(solve::kept_name(file.name)) + ".log");
    }
    int const fd = ::open(file.path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd >= 0) file.fd.emplace(fd);
  }

  static void remove_oldest(const std::filesystem::path& parent) {
    std::error_code ignored;  // Another build may be tidying too.
    std::vector<std::pair<std::filesystem::file_time_type, std::filesystem::path>> builds;
    for (auto entry = std::filesystem::directory_iterator(parent, ignored);
         !ignored && entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
      builds.emplace_back(entry->last_write_time(ignored), entry->path());
    }
    std::sort(builds.begin(), builds.end());
    for (std::size_t i = 0; i + kBuildLogsMax < builds.size(); ++i) {
      std::filesystem::remove_all(builds[i].second, ignored);
    }
  }

  static std::string file_name(std::string_view step) {
    std::string name;
    for (char const c : step.substr(0, kNameMax)) {
      bool const plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || c == '.' || c == '_';
      if (plain) {
        name += c;
      } else if (!name.empty() && name.back() != '-') {
        name += '-';
      }
    }
    return name.empty() ? "step" : name;
  }

  std::filesystem::path directory_;
  std::unordered_map<Digest, LogFile> files_;
  std::size_t count_ = 0;
};

}  // namespace

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    ssize_t const count = ::write(fd, text.data(), text.size());
    if (count >= 0) {
      text.remove_prefix(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {
      pollfd waiting{fd, POLLOUT, 0};
      ::poll(&waiting, 1, -1);
    } else if (errno != EINTR) {
      return;
    }
  }
}

std::unique_ptr<ProgressOutput> make_plain_output(int fd, const Environment& environment,
                                                  ProgressState::Clock clock) {
  PlainPrinter::Options options;
  options.truncate_names = environment("PROGRESS_NO_TRUNC") == "0";
  return std::make_unique<PlainOutput>(fd, std::move(clock), options);
}

std::unique_ptr<ProgressOutput> make_tty_output(int fd, const Environment& environment,
                                                ProgressState::Clock clock) {
  std::vector<std::string> complaints;
  TtyPainter::Options options;
  options.colors = progress_colors(environment, complaints);
  if (auto const text = environment("BUILDKIT_TTY_LOG_LINES")) {
    std::size_t rows = 0;
    auto const [end, error] = std::from_chars(text->data(), text->data() + text->size(), rows);
    bool const whole = error == std::errc() && end == text->data() + text->size();
    if (whole && rows > 0) options.log_rows = std::min(rows, TerminalScreen::kRowsMax);
  }
  return std::make_unique<TtyOutput>(fd, std::move(clock), std::move(options),
                                     std::move(complaints));
}

std::unique_ptr<ProgressOutput> make_json_output(int fd) {
  return std::make_unique<JsonOutput>(fd);
}

std::unique_ptr<ProgressOutput> make_log_files_output(std::filesystem::path directory) {
  return std::make_unique<LogFilesOutput>(std::move(directory));
}

}  // namespace cobuild::cli
