#include "cli/image_loader.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "cli/progress_display.hpp"
#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/process.hpp"

namespace cobuild::cli {
namespace {

/// After the program's output: then comes its exit status.
constexpr char kStatusMark = '\0';
constexpr std::size_t kOutputBytesMax = 1 << 20;

/// Runs the program with `socket` for all three streams, and returns its exit status.
int run_loader(const std::filesystem::path& program, int socket) {
  pid_t const child = ::fork();
  if (child < 0) return 1;
  if (child == 0) {
    for (int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(socket, stream);
    ::execl(program.c_str(), program.filename().c_str(), "load", static_cast<char*>(nullptr));
    write_all(STDERR_FILENO, "cannot start " + program.string());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/// The forked half: waits for the first byte of an archive, which it leaves to the program.
[[noreturn]] void supervise(const std::filesystem::path& program, int socket) {
  pollfd input = {.fd = socket, .events = POLLIN, .revents = 0};
  while (::poll(&input, 1, -1) < 0 && errno == EINTR) {
  }
  char first = 0;
  if (::recv(socket, &first, 1, MSG_PEEK) != 1) ::_exit(0);  // Nothing will come.
  int const status = run_loader(program, socket);
  // What it did not read: nobody waits to send more of it, and closing is not an error then.
  ::shutdown(socket, SHUT_RD);
  char unread[4096];
  while (::recv(socket, unread, sizeof unread, MSG_DONTWAIT) > 0) {
  }
  try {
    write_all(socket, std::string(1, kStatusMark) + std::to_string(status));
  } catch (const std::exception&) {
    ::_exit(1);  // Nobody listens any more.
  }
  ::_exit(0);
}

}  // namespace

ImageLoader ImageLoader::start() {
  std::optional<std::filesystem::path> program;
  for (const char* name : {"docker", "podman"}) {
    if (!program) program = find_program(name);
  }
  if (!program) {
    throw Error(ErrorKind::kNotFound,
                "--load needs docker or podman, and neither is on the PATH: write an archive with "
                "--output type=docker,dest=FILE, and load that where one of them is");
  }
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
    throw Error::from_errno(errno, "make a socket for " + program->string());
  }
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  pid_t const child = ::fork();
  if (child < 0) throw Error::from_errno(errno, "fork for " + program->string());
  if (child == 0) {
    ours = UniqueFd();
    supervise(*program, theirs.get());
  }
  return {program->filename().string(), std::move(ours)};
}

std::string ImageLoader::load(const std::function<void(int fd)>& write) {
  std::exception_ptr failure;
  try {
    write(socket_.get());
  } catch (...) {
    failure = std::current_exception();
  }
  // Not closed: the half of us that waits outside the sandbox has this descriptor, too.
  ::shutdown(socket_.get(), SHUT_WR);
  std::string said = read_all(socket_.get(), kOutputBytesMax, "the output of " + name_ + " load");
  std::size_t const mark = said.rfind(kStatusMark);
  std::string const status = mark == std::string::npos ? "" : said.substr(mark + 1);
  if (status == "0") {
    if (failure) std::rethrow_exception(failure);
    said.resize(mark);
    return said;
  }
  said.resize(std::min(mark, said.size()));
  while (said.ends_with('\n')) said.pop_back();
  if (status.empty() && failure) std::rethrow_exception(failure);
  throw Error(ErrorKind::kUnavailable,
              name_ + " load failed with status " + (status.empty() ? "unknown" : status) + ": " +
                  said);
}

}  // namespace cobuild::cli
