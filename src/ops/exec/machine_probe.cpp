#include <sched.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string_view>

#include "core/base/error.hpp"
#include "core/sys/mount_api.hpp"
#include "core/sys/process.hpp"
#include "core/sys/user_namespace.hpp"
#include "ops/exec/id_mapping.hpp"
#include "ops/exec/sandbox.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReportMax = std::size_t{64} << 10;
constexpr std::size_t kVersionTextMax = 4096;
constexpr long kCgroup2Magic = 0x63677270;
constexpr int kOldestMajor = 5;
constexpr int kOldestMinor = 11;  // overlayfs in user namespaces

std::string read_all(int fd, std::size_t size_max) {
  std::string text;
  std::array<char, 4096> buffer{};
  while (text.size() < size_max) {
    ssize_t const size = ::read(fd, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return text;
}

/// What `work` returns when it is run in a child of its own, which it may ruin.
std::string in_child(const std::function<std::string()>& work) {
  Pipe pipe = make_pipe();
  pid_t const child = ::fork();
  if (child < 0) return {};
  if (child == 0) {
    pipe.read = UniqueFd();
    std::string text;
    try {
      text = work();
    } catch (const std::exception& error) {
      text = error.what();
    }
    static_cast<void>(::write(pipe.write.get(), text.data(), std::min(text.size(), kReportMax)));
    ::_exit(0);
  }
  pipe.write = UniqueFd();
  std::string text = read_all(pipe.read.get(), kReportMax);
  while (::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return text;
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

MachineCheck check_kernel() {
  utsname system = {};
  ::uname(&system);
  int major = 0;
  int minor = 0;
  std::sscanf(system.release, "%d.%d", &major, &minor);
  bool const ok = major > kOldestMajor || (major == kOldestMajor && minor >= kOldestMinor);
  return {.name = "kernel",
          .ok = ok,
          .detail = std::string(system.sysname) + " " + system.release + " " + system.machine,
          .fix = ok ? "" : "Linux 5.11 or later is needed for overlayfs without root"};
}

std::string version_of(const fs::path& runtime) {
  try {
    Pipe out = make_pipe();
    ProcessOptions options;
    options.program = runtime;
    options.args = {runtime.filename().string(), "--version"};
    options.fds = {{.fd = out.write.get(), .as = 1}};
    Process process = Process::spawn(options);
    out.write = UniqueFd();
    return first_line(read_all(out.read.get(), kVersionTextMax));
  } catch (const Error& error) {
    return error.what();
  }
}

MachineCheck check_runtime(const SandboxOptions& options) {
  MachineCheck check{.name = "OCI runtime", .ok = false, .detail = {}, .fix = {}};
  std::vector<std::string> const names = options.oci_runtime.empty()
                                             ? std::vector<std::string>{"crun", "runc"}
                                             : std::vector<std::string>{options.oci_runtime};
  for (const std::string& name : names) {
    auto const path = find_program(name);
    if (!path) continue;
    std::string const found = version_of(*path) + " (" + path->string() + ")";
    check.detail += (check.detail.empty() ? "" : "; also ") + found;
    check.ok = true;
  }
  if (!check.ok) {
    check.detail = "none of these is installed:";
    for (const std::string& name : names) check.detail += " " + name;
    check.fix = "apt-get install crun";
  }
  return check;
}

MachineCheck check_user_namespace() {
  std::string const answer = in_child([] {
    if (::unshare(CLONE_NEWUSER) == 0) return std::string("ok");
    Refusal const why = explain_userns_refusal(errno);
    return why.cause + "\t" + why.remedy;
  });
  std::size_t const tab = std::min(answer.find('\t'), answer.size());
  bool const ok = answer == "ok";
  return {.name = "user namespaces",
          .ok = ok,
          .detail = ok ? "can be made" : answer.substr(0, tab),
          .fix = ok || tab == answer.size() ? "" : answer.substr(tab + 1)};
}

MachineCheck check_subordinate_ids() {
  MachineCheck check{.name = "subordinate ids", .ok = true, .detail = {}, .fix = {}};
  if (::geteuid() == 0) {
    check.detail = "not needed: this is root";
    return check;
  }
  std::string const answer = in_child([] {
    UserNamespaceResult const result = enter_user_namespace(WantedIds::kAll);
    return result.outcome == UserNamespaceOutcome::kAllIds ? "ok" : result.refusal;
  });
  check.ok = answer == "ok";
  // The refusal reads "what is wrong; what to do: command".
  std::size_t const split = std::min(answer.rfind(": "), answer.size());
  check.detail =
      check.ok ? "mapped by newuidmap and newgidmap" : answer.substr(0, answer.find(';'));
  if (!check.ok && split < answer.size()) check.fix = answer.substr(split + 2);
  return check;
}

MachineCheck check_cgroups() {
  struct statfs root = {};
  struct statfs unified = {};
  MachineCheck check{.name = "cgroups", .ok = true, .detail = {}, .fix = {}};
  if (::statfs("/sys/fs/cgroup", &root) != 0) {
    check.detail = "none mounted: steps cannot be limited";
  } else if (root.f_type == kCgroup2Magic) {
    check.detail = "version 2";
  } else if (::statfs("/sys/fs/cgroup/unified", &unified) == 0 && unified.f_type == kCgroup2Magic) {
    check.detail = "version 1, with version 2 beside it (hidden from the runtime)";
  } else {
    check.detail = "version 1";
  }
  if (::geteuid() != 0) check.detail += "; not used without root: steps cannot be limited";
  return check;
}

fs::path nearest_existing(fs::path path) {
  std::error_code ignored;
  path = fs::absolute(path);
  while (!fs::is_directory(path, ignored) && path != path.parent_path()) path = path.parent_path();
  return path;
}

/// Tried inside the sandbox, where a build would mount.
MachineCheck check_overlay(const fs::path& store_root) {
  fs::path const parent = nearest_existing(store_root);
  MachineCheck check{.name = "overlayfs", .ok = false, .detail = {}, .fix = {}};
  try {
    ScratchDirectory const trial = ScratchDirectory::create_on_disk(parent / ".cobuild-doctor");
    for (const char* name : {"lower", "upper", "work", "target"}) {
      fs::create_directory(trial.path() / name);
    }
    OverlayOptions options;
    options.lowers = {trial.path() / "lower"};
    options.upper = trial.path() / "upper";
    options.work = trial.path() / "work";
    mount_overlay(options, trial.path() / "target").unmount();
    check.ok = true;
    check.detail = "works on " + parent.string() + " (userxattr)";
  } catch (const std::exception& error) {
    check.detail = std::string(error.what()) + "; layers will be copied instead";
    check.fix = "choose a --root on ext4, xfs or btrfs";
  }
  std::error_code ignored;
  fs::remove(parent / ".cobuild-doctor", ignored);
  return check;
}

std::string explain(const Sandbox& sandbox) {
  switch (sandbox.kind) {
    case SandboxKind::kRoot: return "root with CAP_SYS_ADMIN: everything works";
    case SandboxKind::kUserNamespace:
      return "a user namespace with subordinate ids: everything works but limits on resources";
    case SandboxKind::kSingleId: return "a user namespace with one id";
    case SandboxKind::kChroot: return "root without namespaces";
    case SandboxKind::kNone: return "no isolation: builds without RUN work";
  }
  return {};
}

std::string without_separators(std::string text) {
  std::replace_if(text.begin(), text.end(), [](char c) { return c == '\t' || c == '\n'; }, ' ');
  return text;
}

std::string as_line(const MachineCheck& check) {
  return without_separators(check.name) + "\t" + (check.ok ? "1" : "0") + "\t" +
         without_separators(check.detail) + "\t" + without_separators(check.fix) + "\n";
}

std::vector<std::string> split_fields(const std::string& line) {
  std::vector<std::string> fields;
  for (std::size_t start = 0; start <= line.size();) {
    std::size_t const end = std::min(line.find('\t', start), line.size());
    fields.push_back(line.substr(start, end - start));
    start = end + 1;
  }
  return fields;
}

MachineCheck check_isolation(const Sandbox& sandbox) {
  MachineCheck check{.name = "isolation", .ok = sandbox.own_pid_namespace, .detail = {}, .fix = {}};
  if (!sandbox.own_pid_namespace) {
    check.detail = "no pid namespace: after kill -9, processes of a step may go on";
  } else if (!sandbox.proc_mountable) {
    check.detail = "own pid namespace; /proc cannot be mounted, so steps see the machine's";
  } else {
    check.detail = "own pid and mount namespaces: all of a build ends with it";
  }
  return check;
}

/// In a child: the sandbox as a build would get it, and what can be done in it. First the kind and
/// its explanation, then one line for each check.
std::string report_from_inside(const SandboxOptions& options, const fs::path& store_root) {
  SandboxOptions without_runtime = options;
  without_runtime.oci_runtime.clear();
  Pipe pipe = make_pipe();
  // The child of enter_sandbox is a grandchild of ours: it answers through a pipe of its own.
  std::string const ignored = in_child([&] {
    Sandbox const sandbox = enter_sandbox(without_runtime);
    std::string text = std::to_string(static_cast<int>(sandbox.kind)) + "\t" +
                       without_separators(explain(sandbox)) +
                       (sandbox.refusal.empty() ? "" : ". " + without_separators(sandbox.refusal)) +
                       "\n";
    text += as_line(check_isolation(sandbox));
    text += as_line(check_overlay(store_root));
    static_cast<void>(::write(pipe.write.get(), text.data(), text.size()));
    ::_exit(0);
    return std::string();
  });
  pipe.write = UniqueFd();
  return read_all(pipe.read.get(), kReportMax);
}

}  // namespace

MachineReport probe_machine(const SandboxOptions& options, const fs::path& store_root) {
  MachineReport report;
  report.checks.push_back(check_kernel());
  report.checks.push_back(check_runtime(options));
  report.checks.push_back(check_user_namespace());
  report.checks.push_back(check_subordinate_ids());
  report.checks.push_back(check_cgroups());
  std::string const text = report_from_inside(options, store_root);
  for (std::size_t start = 0; start < text.size();) {
    std::size_t const end = std::min(text.find('\n', start), text.size());
    std::vector<std::string> fields = split_fields(text.substr(start, end - start));
    start = end + 1;
    if (fields.size() == 2) {
      report.kind = SandboxKind{std::atoi(fields[0].c_str())};
      report.explanation = fields[1];
    } else if (fields.size() == 4) {
      report.checks.push_back(
          {.name = fields[0], .ok = fields[1] == "1", .detail = fields[2], .fix = fields[3]});
    }
  }
  return report;
}

}  // namespace cobuild::ops
