/// argv -> command -> exit status.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>
#include <string>
#include <variant>
#include <vector>

#include "cli/build.hpp"
#include "cli/commands.hpp"
#include "cli/image_commands.hpp"
#include "cli/options.hpp"
#include "cli/report_error.hpp"

namespace {

using namespace cobuild::cli;

struct Run {
  int operator()(BuildOptions& options) const { return run_build(std::move(options)); }
  int operator()(DockerfileToLlbOptions& options) const {
    return run_dockerfile_to_llb(std::move(options));
  }
  int operator()(DiskUsageOptions& options) const { return run_disk_usage(options); }
  int operator()(PruneCommandOptions& options) const { return run_prune(options); }
  int operator()(CacheVerifyOptions& options) const { return run_cache_verify(options); }
  int operator()(WhyOptions& options) const { return run_why(options); }
  int operator()(ImagesOptions& options) const { return run_images(options); }
  int operator()(InspectOptions& options) const { return run_inspect(options); }
  int operator()(PullOptions& options) const { return run_pull(options); }
  int operator()(PushCommandOptions& options) const { return run_push(options); }
  int operator()(DoctorOptions& options) const { return run_doctor(options); }
  int operator()(DumpLlbOptions& options) const { return run_dump_llb(options); }
  int operator()(VersionOptions&) const { return run_version(); }
  int operator()(HelpOptions& options) const {
    write_stdout(options.text);
    return 0;
  }
};

/// A standard descriptor that is closed would be given to the next file that is opened, the store's
/// say, and what is for the user would go there. Reading and writing these fails.
void hold_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    bool const is_closed = ::fcntl(fd, F_GETFD) < 0 && errno == EBADF;
    if (is_closed && ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  hold_standard_descriptors();
  // A reader that goes away is a failed write, not a death. A handler, because an ignored signal
  // would stay ignored in the programs that RUN starts.
  std::signal(SIGPIPE, [](int) {});
  std::vector<std::string> arguments(argv + 1, argv + argc);
  ReportOptions report;
  for (const std::string& argument : arguments)
    report.debug = report.debug || argument == "--debug";
  try {
    Command command = parse_command_line(std::move(arguments), process_surroundings());
    return std::visit(Run{}, command);
  } catch (...) {
    std::string const text = render_error(std::current_exception(), report);
    // Nothing is left to do when even this fails.
    [[maybe_unused]] auto const written = ::write(STDERR_FILENO, text.data(), text.size());
    return 1;
  }
}
