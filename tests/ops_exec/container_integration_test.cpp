#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <tuple>

#include "core/sys/process.hpp"
#include "ops_exec/step_runner.hpp"
#include "support/run_task.hpp"

namespace cobuild::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

using Parameters = std::tuple<Who, const char*>;

class ContainerIntegration : public ::testing::TestWithParam<Parameters> {
 protected:
  void SetUp() override {
    auto const [who, runtime] = GetParam();
    // Found out once for each: it runs a whole step.
    static std::map<std::pair<Who, std::string>, std::string> reasons;
    auto [reason, fresh] = reasons.try_emplace({who, runtime});
    if (fresh) reason->second = StepRunner::reason_to_skip(who, runtime);
    if (!reason->second.empty()) GTEST_SKIP() << reason->second;
    runner_.emplace(who, runtime);
  }
  void TearDown() override {
    if (IsSkipped() || !runner_) return;
    expect_nothing_left();
  }
  [[nodiscard]] bool is_root() const { return std::get<0>(GetParam()) == Who::kRoot; }
  [[nodiscard]] StepResult run(std::vector<std::string> words) const {
    return runner_->run(std::move(words));
  }
  [[nodiscard]] StepResult shell(const std::string& script,
                                 std::vector<std::string> flags = {}) const {
    flags.insert(flags.end(), {"sh", "-c", script});
    return run(std::move(flags));
  }
  void expect_nothing_left() const {
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
      EXPECT_THAT(line, Not(HasSubstr(runner_->work().string())));
    }
    std::error_code ignored;
    for (const auto& left : fs::directory_iterator(runner_->work() / "run", ignored)) {
      EXPECT_TRUE(fs::is_empty(left.path(), ignored)) << left.path();
    }
  }

  std::optional<StepRunner> runner_;
};

TEST_P(ContainerIntegration, ExitCodesAndSignals) {
  EXPECT_EQ(shell("true").at("code"), "0");
  StepResult const three = shell("exit 3");
  EXPECT_EQ(three.at("code"), "3");
  EXPECT_EQ(three.at("signal"), "0");
  StepResult const killed = shell("sh -c 'kill -9 $$'; exit $?");
  EXPECT_EQ(killed.at("code"), "137");
  EXPECT_EQ(killed.at("signal"), "9");
  EXPECT_EQ(killed.at("oom"), "0");
}

TEST_P(ContainerIntegration, OutputIsStreamedAndStdinIsEmpty) {
  StepResult const result = shell("cat; echo out; echo err >&2; head -c 500000 /dev/zero | wc -c");
  EXPECT_EQ(result.out, "out\n500000\n");
  EXPECT_EQ(result.err, "err\n");
}

TEST_P(ContainerIntegration, ProgramsThatCannotBeRunSayWhy) {
  StepResult const missing = run({"nosuchprogram"});
  EXPECT_NE(missing.at("code"), "0");
  EXPECT_THAT(missing.err, HasSubstr("nosuchprogram"));
  EXPECT_EQ(missing.report.count("error"), 0U);
}

TEST_P(ContainerIntegration, WhatIsNoRuntimeHasNotRunTheStep) {
  for (const char* impostor : {"/bin/true", "/bin/false"}) {
    StepRunner const runner(std::get<0>(GetParam()), impostor);
    StepResult const result = runner.run({"true"});
    EXPECT_EQ(result.report.count("code"), 0U) << impostor;
    EXPECT_THAT(result.at("error"), HasSubstr("does not work as an OCI runtime")) << impostor;
    EXPECT_THAT(result.at("error"), HasSubstr(impostor));
  }
}

TEST_P(ContainerIntegration, EnvironmentUserAndDirectory) {
  StepResult const result = shell("echo $WHO; id -u; id -G; pwd; stat -c '%u:%g %a' /made/here",
                                  {"--env", "WHO=me too", "--user", "12", "--cwd", "/made/here"});
  EXPECT_EQ(result.out, "me too\n12\n12 7\n/made/here\n12:12 755\n") << result.err;
}

TEST_P(ContainerIntegration, HostnameAndHosts) {
  StepResult const standard = shell("hostname; cat /etc/hosts");
  EXPECT_THAT(standard.out, StartsWith("buildkitsandbox\n127.0.0.1\tlocalhost buildkitsandbox\n"));
  StepResult const named = shell("hostname; cat /etc/hosts; cat /etc/resolv.conf",
                                 {"--hostname", "other", "--host", "a.example", "10.1.2.3"});
  EXPECT_THAT(named.out, StartsWith("other\n127.0.0.1\tlocalhost other\n"));
  EXPECT_THAT(named.out, HasSubstr("10.1.2.3\ta.example\n"));
  EXPECT_THAT(named.out, HasSubstr("nameserver "));
}

TEST_P(ContainerIntegration, NetworkNoneHasOnlyLoopback) {
  std::string const count = "grep -c : /proc/net/dev";
  EXPECT_EQ(shell(count, {"--no-network"}).out, "1\n");
}

TEST_P(ContainerIntegration, LimitsOnOpenFiles) {
  EXPECT_EQ(shell("ulimit -n", {"--nofile", "77"}).out, "77\n");
}

TEST_P(ContainerIntegration, TheSandboxIsClosed) {
  EXPECT_NE(shell("mount -t tmpfs x /etc").at("code"), "0");
  EXPECT_NE(shell("unshare -U true").at("code"), "0");
  EXPECT_NE(shell("echo 1 > /proc/sys/kernel/hostname").at("code"), "0");
  EXPECT_NE(shell("mknod /disk b 254 0 && head -c 1 /disk").at("code"), "0");
  EXPECT_NE(shell("mknod /kmsg c 1 11 && head -c 1 /kmsg").at("code"), "0");
  EXPECT_EQ(shell("grep Seccomp: /proc/self/status").out, "Seccomp:\t2\n");
  EXPECT_EQ(shell("head -c 3 /proc/kcore | wc -c").out, "0\n");
  EXPECT_EQ(shell("echo /proc/[0-9]*").out, "/proc/1\n");  // the shell itself, alone
}

TEST_P(ContainerIntegration, RuntimesLeaveNothingInTheMachinesCgroupTree) {
  EXPECT_EQ(shell("true").at("stray_cgroup2"), "0");
}

TEST_P(ContainerIntegration, MountsAreAsAsked) {
  fs::path const shared = runner_->work() / "shared";
  fs::create_directory(shared);
  fs::permissions(shared, fs::perms::all);
  std::ofstream(shared / "file") << "from outside";
  StepResult const result = shell(
      "cat /cache/file; echo x > /cache/new; echo x > /ro/bad || echo refused; "
      "dd if=/dev/zero of=/tmp/fill bs=1024 count=2048 2>/dev/null || echo full",
      {"--bind", shared, "/cache", "--bind-ro", shared, "/ro", "--tmpfs", "/tmp"});
  EXPECT_EQ(result.out, "from outsiderefused\nfull\n") << result.err;
  EXPECT_TRUE(fs::exists(shared / "new"));
  for (const char* stub : {"cache", "ro", "tmp"}) {
    EXPECT_FALSE(fs::exists(runner_->work() / "upper" / stub)) << stub;
  }
}

TEST_P(ContainerIntegration, OnlyTheRuntimesDirectoriesAreAdded) {
  EXPECT_EQ(shell("true").at("code"), "0");
  std::vector<std::string> added;
  for (const auto& entry : fs::directory_iterator(runner_->work() / "upper")) {
    added.push_back(entry.path().filename().string());
    EXPECT_EQ(static_cast<int>(fs::status(entry.path()).permissions()), 0755) << entry.path();
  }
  // etc: its entries came and went, which makes a directory without content
  EXPECT_THAT(added, ::testing::UnorderedElementsAre("dev", "etc", "proc", "sys"));
  EXPECT_TRUE(fs::is_empty(runner_->work() / "upper/etc"));
}

/// How long a step of this test sleeps: a number by which its processes are told from those of
/// tests that run at the same time.
std::string own_seconds() {
  return std::to_string(100'000'000 + ::getpid());
}

TEST_P(ContainerIntegration, OrphansDoNotHoldTheStepUp) {
  auto const start = std::chrono::steady_clock::now();
  EXPECT_EQ(shell("(sleep " + own_seconds() + " &) ; exit 4").at("code"), "4");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(8));
  EXPECT_THAT(processes_with(own_seconds()), IsEmpty());
}

TEST_P(ContainerIntegration, OutOfMemoryIsTold) {
  if (!is_root()) GTEST_SKIP() << "an ordinary user has no cgroups to limit memory with";
  StepResult const result = run({"--memory", "16777216", "tail", "/dev/zero"});
  EXPECT_EQ(result.at("oom"), "1") << result.err;
  EXPECT_NE(result.at("code"), "0");
}

/// How a running step is ended from outside.
struct Running {
  Process process;
  pid_t child = 0;  ///< The half of the sandbox that works.
};

class EndingIntegration : public ContainerIntegration {
 protected:
  /// A step that sleeps under a name of its own, once it says that it runs.
  [[nodiscard]] Running start(const std::string& seconds) const {
    Pipe out = make_pipe();
    Process process =
        runner_->start({"sh", "-c", "echo started; sleep " + seconds}, out.write.get());
    out.write.close();
    char byte = 0;
    EXPECT_EQ(::read(out.read.get(), &byte, 1), 1) << "it never started";
    std::ifstream children("/proc/" + std::to_string(process.pid()) + "/task/" +
                           std::to_string(process.pid()) + "/children");
    pid_t child = 0;
    children >> child;
    return {std::move(process), child};
  }
  static Task<void> wait_for(Process* process, ProcessExit* exit) {
    *exit = co_await process->wait();
  }
  static ProcessExit wait(Running& running) {
    ProcessExit exit;
    test::run(wait_for(&running.process, &exit));
    return exit;
  }
  /// Whether there come to be processes with that argument, or none, in a moment: the shell says
  /// that it runs before its child does, and a pid namespace's first process may go after its
  /// parent.
  static bool becomes(const std::string& seconds, bool running) {
    auto const deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (processes_with(seconds).empty() == running) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }
};

TEST_P(EndingIntegration, TermEndsAllWithinASecond) {
  Running running = start(own_seconds());
  ASSERT_TRUE(becomes(own_seconds(), true));
  auto const begin = std::chrono::steady_clock::now();
  ::kill(running.process.pid(), SIGTERM);
  wait(running);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_THAT(processes_with(own_seconds()), IsEmpty());
  EXPECT_THAT(fs::directory_iterator(runner_->work() / "run"), fs::directory_iterator());
}

TEST_P(EndingIntegration, KillingTheParentLeavesNothing) {
  Running running = start(own_seconds());
  ASSERT_TRUE(becomes(own_seconds(), true));
  ::kill(running.process.pid(), SIGKILL);
  wait(running);
  EXPECT_TRUE(becomes(own_seconds(), false));
}

TEST_P(EndingIntegration, KillingTheChildLeavesNothing) {
  Running running = start(own_seconds());
  ASSERT_GT(running.child, 0);
  ASSERT_TRUE(becomes(own_seconds(), true));
  ::kill(running.child, SIGKILL);
  EXPECT_EQ(wait(running).code, 128 + SIGKILL);
  EXPECT_TRUE(becomes(own_seconds(), false));
  if (is_root()) {
    for (const char* tree : {"/sys/fs/cgroup/buildkit", "/sys/fs/cgroup/devices/buildkit"}) {
      std::string const mine = "cobuild-" + std::to_string(running.process.pid()) + "-";
      std::error_code ignored;
      for (const auto& cgroup : fs::directory_iterator(tree, ignored)) {
        EXPECT_THAT(cgroup.path().string(), Not(HasSubstr(mine)));
      }
    }
  }
}

std::string name_of(const ::testing::TestParamInfo<Parameters>& param) {
  auto const [who, runtime] = param.param;
  return std::string(who == Who::kRoot ? "root_" : "user_") + runtime;
}

const auto kEverybody = ::testing::Combine(::testing::Values(Who::kRoot, Who::kUser),
                                           ::testing::Values("crun", "runc"));
INSTANTIATE_TEST_SUITE_P(All, ContainerIntegration, kEverybody, name_of);
INSTANTIATE_TEST_SUITE_P(All, EndingIntegration, kEverybody, name_of);

}  // namespace
}  // namespace cobuild::test
