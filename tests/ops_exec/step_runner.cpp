#include "ops_exec/step_runner.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>

#include "core/async/task.hpp"
#include "support/run_task.hpp"

namespace cobuild::test {
namespace {

namespace fs = std::filesystem;

struct User {
  std::string name;
  uid_t uid = 0;
  gid_t gid = 0;
};

/// What can be read of a file, which may go away meanwhile, as those of a process do.
std::string read_file(const fs::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The first ordinary user in /etc/passwd that /etc/subuid knows.
std::optional<User> find_user() {
  std::istringstream passwd(read_file("/etc/passwd"));
  std::string const subuid = "\n" + read_file("/etc/subuid");
  for (std::string line; std::getline(passwd, line);) {
    std::replace(line.begin(), line.end(), ':', ' ');
    std::istringstream fields(line);
    User user;
    std::string password;
    if (!(fields >> user.name >> password >> user.uid >> user.gid) || user.uid == 0) continue;
    if (subuid.find("\n" + user.name + ":") != std::string::npos) return user;
  }
  return std::nullopt;
}

Task<void> run_into(ProcessOptions options, CapturedOutput* output) {
  *output = co_await run_program(std::move(options));
}

std::string read_report(int fd) {
  std::string text(1 << 16, '\0');
  ssize_t const size = ::pread(fd, text.data(), text.size(), 0);
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

}  // namespace

std::string StepResult::at(const std::string& key) const {
  auto const found = report.find(key);
  return found != report.end() ? found->second : "(no " + key + ": " + err + ")";
}

std::string StepRunner::reason_to_skip(Who who, const std::string& runtime) {
  bool const is_root = ::geteuid() == 0;
  if (!find_program(runtime)) return runtime + " is not installed";
  if (!fs::exists("/bin/busybox")) return "/bin/busybox is not installed";
  if (who == Who::kRoot && !is_root) return "this is not root";
  if (who == Who::kUser && is_root && !find_user()) return "no user has a range in /etc/subuid";
  if (who == Who::kUser && is_root && !find_program("setpriv")) return "setpriv is not installed";
  StepRunner const runner(who, runtime);
  StepResult const result = runner.run({"true"});
  if (result.report.empty()) return "run_step cannot be started: " + result.err;
  if (!result.at("refusal").empty()) return result.at("refusal");
  return {};
}

StepRunner::StepRunner(Who who, std::string runtime)
    : who_(who), runtime_(std::move(runtime)), work_(TempDir::create("/tmp", "step-")) {
  if (auto const user = find_user(); who_ == Who::kUser && ::geteuid() == 0 && user) {
    EXPECT_EQ(::chown(work_.path().c_str(), user->uid, user->gid), 0);
  }
}

StepRunner::~StepRunner() {
  // An ordinary user may not remove the files of its subordinate ids from outside.
  if (::geteuid() != 0) {
    ProcessOptions remove;
    remove.program = RUN_STEP;
    remove.args = {"run_step",           "--exec", "/bin/rm", "-rf", work_.path() / "upper",
                   work_.path() / "work"};
    CapturedOutput ignored;
    test::run(run_into(std::move(remove), &ignored));
  }
}

ProcessOptions StepRunner::command(std::vector<std::string> words) const {
  ProcessOptions options;
  std::vector<std::string> args{"run_step", "--runtime", runtime_, "--work", work_.path().string()};
  options.program = RUN_STEP;
  if (who_ == Who::kUser && ::geteuid() == 0) {
    options.program = *find_program("setpriv");
    args.front() = RUN_STEP;
    std::vector<std::string> const prefix = words_to_become_user();
    args.insert(args.begin(), prefix.begin(), prefix.end());
  }
  args.insert(args.end(), words.begin(), words.end());
  options.args = std::move(args);
  options.env = {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"};
  return options;
}

StepResult StepRunner::run(std::vector<std::string> words) const {
  UniqueFd const report(::memfd_create("report", MFD_CLOEXEC));
  ProcessOptions options = command(std::move(words));
  options.fds = {{.fd = report.get(), .as = 3}};
  CapturedOutput output;
  test::run(run_into(std::move(options), &output));
  StepResult result{.exit = output.exit, .out = output.out, .err = output.err, .report = {}};
  std::istringstream lines(read_report(report.get()));
  for (std::string line; std::getline(lines, line);) {
    std::size_t const equals = std::min(line.find('='), line.size() - 1);
    result.report[line.substr(0, equals)] = line.substr(equals + 1);
  }
  return result;
}

Process StepRunner::start(std::vector<std::string> words, int out) const {
  ProcessOptions options = command(std::move(words));
  options.fds = {{.fd = out, .as = 1}, {.fd = 2, .as = 2}};
  return Process::spawn(options);
}

std::vector<std::string> words_to_become_user() {
  User const user = find_user().value();
  return {"setpriv",       "--reuid", std::to_string(user.uid), "--regid", std::to_string(user.gid),
          "--clear-groups"};
}

std::vector<pid_t> processes_with(const std::string& word) {
  std::vector<pid_t> found;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    std::string const name = entry->path().filename().string();
    pid_t pid = 0;
    auto const [rest, failure] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (failure != std::errc() || rest != name.data() + name.size()) continue;
    std::string const arguments = '\0' + read_file(entry->path() / "cmdline");
    if (arguments.find('\0' + word + '\0') != std::string::npos) found.push_back(pid);
  }
  return found;
}

}  // namespace cobuild::test
