#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "core/sys/process.hpp"
#include "ops_exec/step_runner.hpp"
#include "support/run_task.hpp"

namespace cobuild::test {
namespace {

using ::testing::HasSubstr;

Task<void> run_into(ProcessOptions options, CapturedOutput* output) {
  *output = co_await run_program(std::move(options));
}

CapturedOutput run_program_now(std::vector<std::string> args) {
  ProcessOptions options;
  options.program = args.front().find('/') == std::string::npos
                        ? *find_program(args.front())
                        : std::filesystem::path(args.front());
  options.args = std::move(args);
  options.env = {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"};
  CapturedOutput output;
  test::run(run_into(std::move(options), &output));
  return output;
}

TEST(SandboxIntegration, CanBeDoneWithout) {
  CapturedOutput const output = run_program_now({RUN_STEP, "--strongest", "5"});
  EXPECT_THAT(output.err, HasSubstr("kind=5\npid_namespace=0\n"));
  EXPECT_THAT(output.err, HasSubstr("refusal=RUN steps cannot be run here: "));
}

TEST(SandboxIntegration, AUserWithoutSubordinateIdsIsToldTheCommand) {
  if (::geteuid() != 0 || !find_program("setpriv")) GTEST_SKIP() << "needs root, to become nobody";
  CapturedOutput const output = run_program_now(
      {"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", RUN_STEP});
  if (output.err.find("kind=") == std::string::npos) GTEST_SKIP() << output.err;
  EXPECT_THAT(output.err, ::testing::AnyOf(HasSubstr("kind=3"), HasSubstr("kind=5")));
  EXPECT_THAT(output.err,
              ::testing::AnyOf(HasSubstr("usermod --add-subuids "),
                               HasSubstr("apt-get install uidmap"), HasSubstr("sysctl -w ")));
}

TEST(SandboxIntegration, AUserWithoutANameIsToldToMakeOne) {
  if (::geteuid() != 0 || !find_program("setpriv")) GTEST_SKIP() << "needs root, to become a user";
  CapturedOutput const output = run_program_now(
      {"setpriv", "--reuid", "54242", "--regid", "54242", "--clear-groups", RUN_STEP});
  if (output.err.find("in /etc/subuid") == std::string::npos) GTEST_SKIP() << output.err;
  EXPECT_THAT(output.err, HasSubstr("useradd --no-create-home --uid 54242 "));
  EXPECT_THAT(output.err, ::testing::Not(HasSubstr("usermod")));
}

TEST(SandboxIntegration, NoNewPrivsIsNamed) {
  if (std::string const why = StepRunner::reason_to_skip(Who::kUser, "crun"); !why.empty()) {
    GTEST_SKIP() << why;
  }
  if (!find_program("setpriv")) GTEST_SKIP() << "needs setpriv";
  std::vector<std::string> words{"setpriv"};
  if (::geteuid() == 0) words = words_to_become_user();
  words.emplace_back("--no-new-privs");
  words.emplace_back(RUN_STEP);
  CapturedOutput const output = run_program_now(words);
  EXPECT_THAT(output.err, HasSubstr("no_new_privs is set for this process"));
  EXPECT_THAT(output.err, ::testing::Not(HasSubstr("--reinstall")));
}

TEST(SandboxIntegration, AMissingRuntimeThatWasNamedIsAnError) {
  CapturedOutput const output = run_program_now({RUN_STEP, "--runtime", "/no/such/runtime"});
  EXPECT_THAT(output.err, HasSubstr("error=OCI runtime /no/such/runtime (from --oci-runtime)"));
}

TEST(SandboxIntegration, DoctorReportsEveryCheck) {
  CapturedOutput const output = run_program_now({RUN_STEP, "--doctor", "/tmp/not/there"});
  EXPECT_TRUE(output.exit.success()) << output.err;
  for (const char* check : {"kind=", "kernel: ", "OCI runtime: ", "user namespaces: ",
                            "subordinate ids: ", "cgroups: ", "isolation: ", "overlayfs: "}) {
    EXPECT_THAT(output.out, HasSubstr(check));
  }
}

TEST(SandboxIntegration, TheStatusIsTheChilds) {
  CapturedOutput const output = run_program_now({RUN_STEP, "--exec", "/bin/sh", "-c", "exit 42"});
  if (output.err.find("refused") != std::string::npos) GTEST_SKIP() << output.err;
  EXPECT_EQ(output.exit.code, 42);
}

}  // namespace
}  // namespace cobuild::test
