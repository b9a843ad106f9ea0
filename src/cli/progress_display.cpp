#include "cli/progress_display.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <boost/asio/steady_timer.hpp>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kRefreshEvery = 100ms;

std::chrono::milliseconds refresh_interval(const Environment& environment) {
  auto const text = environment("TTY_DISPLAY_RATE");
  if (!text) return kRefreshEvery;
  int value = 0;
  auto const [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value <= 0)
    return kRefreshEvery;
  return std::chrono::milliseconds(value);
}

}  // namespace

UniqueFd open_trace(const std::filesystem::path& path) {
  int const fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) throw Error::from_errno(errno, "open trace file " + path.string());
  return UniqueFd(fd);
}

class ProgressDisplay::Impl {
 public:
  Impl(asio::io_context& loop, const Options& options)
      : timer_(loop), interval_(refresh_interval(options.environment)) {
    bool const is_terminal = ::isatty(options.fd) == 1;
    switch (options.mode) {
      case ProgressMode::kTty:
        if (!is_terminal) {
          throw Error(ErrorKind::kInvalidInput,
                      "failed to get console: stderr is not a terminal; use --progress plain");
        }
        outputs_.push_back(make_tty_output(options.fd, options.environment, now));
        break;
      case ProgressMode::kAuto:
        outputs_.push_back(is_terminal ? make_tty_output(options.fd, options.environment, now)
                                       : make_plain_output(options.fd, options.environment, now));
        break;
      case ProgressMode::kPlain:
        outputs_.push_back(make_plain_output(options.fd, options.environment, now));
        break;
      case ProgressMode::kRawJson: outputs_.push_back(make_json_output(options.fd)); break;
      case ProgressMode::kQuiet: break;
    }
    if (!options.trace_file.empty()) {
      trace_ = open_trace(options.trace_file);
      outputs_.push_back(make_json_output(trace_->get()));
    }
    if (!options.logs_directory.empty()) {
      outputs_.push_back(make_log_files_output(options.logs_directory));
    }
    tick();
  }

  template <class Call>
  void for_each_output(Call call) {
    if (finished_) return;
    for (const auto& output : outputs_) call(*output);
  }

  void finish() {
    if (finished_) return;
    for (const auto& output : outputs_) output->finish();
    finished_ = true;
    timer_.cancel();
  }

 private:
  void tick() {
    timer_.expires_after(interval_);
    // A timer that has expired before it was cancelled still calls, perhaps after we are gone.
    timer_.async_wait(
        [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& error) {
          if (error || alive.expired() || finished_) return;
          for (const auto& output : outputs_) output->refresh();
          tick();
        });
  }

  asio::steady_timer timer_;
  std::chrono::milliseconds interval_;
  std::optional<UniqueFd> trace_;
  std::vector<std::unique_ptr<ProgressOutput>> outputs_;
  bool finished_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

ProgressDisplay::ProgressDisplay(asio::io_context& loop, Options options)
    : impl_(std::make_unique<Impl>(loop, options)) {}

ProgressDisplay::~ProgressDisplay() {
  finish();
}

void ProgressDisplay::on_vertex(const progress::Vertex& vertex) {
  impl_->for_each_output([&](ProgressOutput& output) { output.on_vertex(vertex); });
}

void ProgressDisplay::on_status(const progress::Status& status) {
  impl_->for_each_output([&](ProgressOutput& output) { output.on_status(status); });
}

void ProgressDisplay::on_log(const progress::Log& log) {
  impl_->for_each_output([&](ProgressOutput& output) { output.on_log(log); });
}

void ProgressDisplay::on_warning(const progress::Warning& warning) {
  impl_->for_each_output([&](ProgressOutput& output) { output.on_warning(warning); });
}

void ProgressDisplay::finish() {
  impl_->finish();
}

}  // namespace cobuild::cli
