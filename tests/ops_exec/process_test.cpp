#include "core/sys/process.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <fstream>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "support/run_task.hpp"

namespace cobuild {
namespace {

ProcessOptions shell(const std::string& script) {
  ProcessOptions options;
  options.program = "/bin/sh";
  options.args = {"sh", "-c", script};
  options.env = {"PATH=/usr/bin:/bin"};
  return options;
}

struct ExitCase {
  const char* script;
  ProcessExit exit;
};

Task<void> expect_exits() {
  const ExitCase kCases[] = {{"exit 0", {0, 0}},
                             {"exit 3", {3, 0}},
                             {"kill -9 $$", {0, SIGKILL}},
                             {"kill -15 $$", {0, SIGTERM}}};
  for (const ExitCase& row : kCases) {
    Process process = Process::spawn(shell(row.script));
    ProcessExit const exit = co_await process.wait();
    EXPECT_EQ(exit, row.exit) << row.script;
  }
}
TEST(Process, TellsExitCodesFromSignals) {
  test::run(expect_exits());
  EXPECT_EQ(to_string(ProcessExit{3, 0}), "exit code 3");
  EXPECT_EQ(to_string(ProcessExit{0, SIGKILL}), "signal 9 (Killed)");
}

TEST(Process, SaysWhyItCannotStart) {
  ProcessOptions options = shell("true");
  options.program = "/no/such/program";
  try {
    static_cast<void>(Process::spawn(options));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNotFound);
    EXPECT_STREQ(error.what(), "run /no/such/program: No such file or directory");
  }
  options = shell("true");
  options.cwd = "/no/such/directory";
  EXPECT_THROW(static_cast<void>(Process::spawn(options)), Error);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD) << "a failed start left a zombie";
}

Task<void> expect_streams() {
  CapturedOutput const output = co_await run_program(shell("cat; echo err >&2; exit 4"), "input");
  EXPECT_EQ(output.out, "input");
  EXPECT_EQ(output.err, "err\n");
  EXPECT_EQ(output.exit.code, 4);
  CapturedOutput const cut = co_await run_program(shell("head -c 300000 /dev/zero"), {}, 1000);
  EXPECT_EQ(cut.out.size(), 1000U);
  EXPECT_TRUE(cut.exit.success());
  CapturedOutput const unread = co_await run_program(shell("exit 0"), std::string(200000, 'x'));
  EXPECT_TRUE(unread.exit.success());
}
TEST(Process, FeedsAndCaptures) {
  test::run(expect_streams());
}

// A descriptor that children inherit, far above those that the child opens for itself: what this
// process was started with decides which low ones are free.
UniqueFd inheritable_fd() {
  UniqueFd const zero = open_file("/dev/zero", O_RDONLY);
  return UniqueFd(::fcntl(zero.get(), F_DUPFD, 40));
}

Task<void> expect_clean_start() {
  ProcessOptions options = shell("ls /proc/self/fd; readlink /proc/self/fd/5; pwd; env");
  options.cwd = "/usr";
  options.env = {"ONLY=this"};
  UniqueFd const five = open_file("/dev/zero", O_RDONLY);
  UniqueFd const leaked = inheritable_fd();
  EXPECT_GE(leaked.get(), 40);
  options.fds = {{.fd = five.get(), .as = 5}};
  CapturedOutput const output = co_await run_program(options);
  // 3 is the directory that ls reads.
  EXPECT_THAT(output.out, testing::StartsWith("0\n1\n2\n3\n5\n/dev/zero\n/usr\n"));
  EXPECT_THAT(output.out, testing::HasSubstr("ONLY=this"));
  EXPECT_THAT(output.out, testing::Not(testing::HasSubstr("HOME=")));
}
TEST(Process, GetsWhatIsNamedAndNothingElse) {
  test::run(expect_clean_start());
}

Task<void> expect_cancel_kills() {
  auto const start = std::chrono::steady_clock::now();
  bool timed_out = false;
  try {
    co_await with_timeout(run_program(shell("sleep 100 & sleep 100")),
                          std::chrono::milliseconds(50));
  } catch (const Error&) {
    timed_out = true;
  }
  EXPECT_TRUE(timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}
TEST(Process, CancellingKillsTheGroup) {
  test::run(expect_cancel_kills());
}

Task<void> expect_wait_may_be_repeated() {
  Process process = Process::spawn(shell("sleep 0.2; exit 7"));
  bool timed_out = false;
  try {
    auto waiting = [](Process* p) -> Task<void> { co_await p->wait(); };
    co_await with_timeout(waiting(&process), std::chrono::milliseconds(10));
  } catch (const Error&) {
    timed_out = true;
  }
  EXPECT_TRUE(timed_out);
  ProcessExit const exit = co_await process.wait();
  EXPECT_EQ(exit.code, 7);
}
TEST(Process, ACancelledWaitLeavesItRunning) {
  test::run(expect_wait_may_be_repeated());
}

TEST(FindProgram, LooksInThePath) {
  EXPECT_EQ(find_program("sh", "/nowhere:/bin"), "/bin/sh");
  EXPECT_EQ(find_program("sh", "/nowhere"), std::nullopt);
  EXPECT_EQ(find_program("sh", "bin:"), std::nullopt) << "relative entries do not count";
  EXPECT_EQ(find_program("/bin/sh", ""), "/bin/sh");
  EXPECT_EQ(find_program("/bin", ""), std::nullopt);
  EXPECT_EQ(find_program("", "/bin"), std::nullopt);
}

}  // namespace
}  // namespace cobuild
