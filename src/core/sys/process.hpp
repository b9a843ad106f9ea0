#pragma once

/// Starting programs, waiting for them, and being sure that they end.
///
/// A child is started without copying this process's memory and is waited for through a pidfd, so
/// it costs well below a millisecond and no signal handler. It dies with us: each child gets
/// SIGKILL when the thread that started it ends (PDEATHSIG), which is why spawn() belongs on the
/// loop's thread.

#include <sys/types.h>

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/async/task.hpp"
#include "core/sys/fs.hpp"

namespace cobuild {

/// How a process ended: by exit(code), or by a signal (then `signal` is not 0 and `code` is 0).
struct ProcessExit {
  int code = 0;
  int signal = 0;

  [[nodiscard]] bool success() const noexcept { return code == 0 && signal == 0; }
  friend bool operator==(const ProcessExit&, const ProcessExit&) = default;
};

/// For messages: "exit code 3", "signal 9 (Killed)".
[[nodiscard]] std::string to_string(const ProcessExit& exit);

/// What to start. Only what is named here is passed on: no descriptor, variable or signal mask
/// leaks.
struct ProcessOptions {
  std::filesystem::path program;  ///< A path; PATH is not searched (see find_program).
  std::vector<std::string> args;  ///< argv, the program's name included.
  std::vector<std::string> env;   ///< The whole environment, "NAME=VALUE".
  std::filesystem::path cwd;      ///< Empty: ours.

  /// A descriptor of ours that the child sees under the number `as`. Of 0, 1 and 2, those that are
  /// not named are /dev/null.
  struct PassedFd {
    int fd = -1;
    int as = -1;
  };
  std::vector<PassedFd> fds;
};

/// A running child, alone in its process group. The destructor kills the group with SIGKILL and
/// reaps the child if nobody has waited for it.
class Process {
 public:
  /// Starts it. Returns once the program is running (execve has happened).
  /// \throws Error (of the kind that Error::from_errno gives) when it cannot be started: kNotFound
  /// when there is no such program. The child's death on ours holds while the calling thread lives.
  [[nodiscard]] static Process spawn(const ProcessOptions& options);

  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;
  ~Process();

  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// Waits for the end of the child. Cancelling the wait leaves the child running. Await it once.
  Task<ProcessExit> wait();

  /// Sends `signal` to the child's process group. Does nothing once the child has been waited for.
  void kill(int signal = SIGKILL) noexcept;

 private:
  Process(pid_t pid, UniqueFd pidfd) noexcept : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_ = -1;  ///< -1 once waited for or moved from.
  UniqueFd pidfd_;
};

/// A program's whole output.
struct CapturedOutput {
  ProcessExit exit;
  std::string out;
  std::string err;
};

/// Captured output beyond this is read and dropped.
inline constexpr std::size_t kCapturedOutputMax = 1 << 20;

/// Runs a program to its end, feeding it `input`, keeping at most `output_max` bytes of each
/// stream. Cancelling kills it and waits for it. `options.fds` must not name 0, 1 or 2. The
/// program's stdin is a file, so that one that does not read it does no harm.
/// \throws Error as Process::spawn. A non-zero exit is not an error here.
Task<CapturedOutput> run_program(ProcessOptions options, std::string input = {},
                                 std::size_t output_max = kCapturedOutputMax);

/// The executable `name` in the directories of `path` (":"-separated; default: $PATH, or the usual
/// directories when that is not set). A name with a slash is taken as it is. nullopt: not found.
[[nodiscard]] std::optional<std::filesystem::path> find_program(
    std::string_view name, std::optional<std::string_view> path = std::nullopt);

/// A pipe, both ends close-on-exec.
struct Pipe {
  UniqueFd read;
  UniqueFd write;
};
[[nodiscard]] Pipe make_pipe();

/// Reads `fd`, the read end of a pipe, to its end, giving each piece to `on_data` on the loop.
/// Takes the descriptor. Cancellable.
Task<void> read_stream(UniqueFd fd, std::function<void(std::string_view)> on_data);

}  // namespace cobuild
