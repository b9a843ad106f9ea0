#include "ops/exec/id_mapping.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include "core/sys/process.hpp"
#include "core/sys/user_namespace.hpp"

namespace cobuild::ops {
namespace {

constexpr std::size_t kMessageMax = 512;
constexpr std::uint32_t kUsualFirst = 100000;
constexpr std::uint32_t kUsualCount = 65536;

std::string read_text(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// What newuidmap and newgidmap will be asked to do; or why not.
struct MappingPlan {
  std::filesystem::path newuidmap;
  std::filesystem::path newgidmap;
  std::vector<IdMapping> uids;
  std::vector<IdMapping> gids;
  std::string refusal;
};

/// The first id above every range in `text`, so that the advice does not overlap with anybody's.
std::uint32_t first_free_subid(const std::string& text) {
  std::uint64_t free = kUsualFirst;
  std::size_t start = 0;
  while (start < text.size()) {
    std::size_t const end = std::min(text.find('\n', start), text.size());
    std::string const line = text.substr(start, end - start);
    start = end + 1;
    std::size_t const colon = line.find(':');
    if (colon == std::string::npos) continue;
    auto ranges = parse_subids(line, line.substr(0, colon), static_cast<uid_t>(-1));
    for (const SubidRange& range : ranges) {
      free = std::max(free, std::uint64_t{range.first} + range.count);
    }
  }
  return free + kUsualCount < UINT32_MAX ? static_cast<std::uint32_t>(free) : kUsualFirst;
}

/// newuidmap asks for the name of whoever runs it, and usermod for one to change. (A name that is
/// known by another way than /etc/passwd usually has its ranges too.)
std::string advise_user(uid_t uid, const char* file) {
  std::string const id = std::to_string(uid);
  return "user " + id + " has no name in /etc/passwd and no range in " + file +
         "; give it both with: useradd --no-create-home --uid " + id + " user" + id;
}

std::string advise_subids(const std::string& user, const char* file, const std::string& text) {
  std::uint32_t const first = first_free_subid(text);
  std::string const range = std::to_string(first) + "-" + std::to_string(first + kUsualCount - 1);
  return "user " + user + " has no range in " + file + "; give one with: usermod --add-subuids " +
         range + " --add-subgids " + range + " " + user;
}

MappingPlan plan_mapping() {
  MappingPlan plan;
  // They are setuid programs of the system: a PATH of the user's making does not decide which.
  constexpr std::string_view kSystemPath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
  auto newuidmap = find_program("newuidmap");
  auto newgidmap = find_program("newgidmap");
  if (!newuidmap) newuidmap = find_program("newuidmap", kSystemPath);
  if (!newgidmap) newgidmap = find_program("newgidmap", kSystemPath);
  if (!newuidmap || !newgidmap) {
    plan.refusal = std::string(newuidmap ? "newgidmap" : "newuidmap") +
                   " is not installed; install it with: apt-get install uidmap";
    return plan;
  }
  uid_t const uid = ::getuid();
  auto const known_name = user_name(read_text("/etc/passwd"), uid);
  std::string const name = known_name.value_or(std::to_string(uid));
  std::string const subuid = read_text("/etc/subuid");
  std::string const subgid = read_text("/etc/subgid");
  auto const uids = parse_subids(subuid, name, uid);
  auto const gids = parse_subids(subgid, name, uid);
  if (!known_name && (uids.empty() || gids.empty()))
    plan.refusal = advise_user(uid, uids.empty() ? "/etc/subuid" : "/etc/subgid");
  else if (uids.empty())
    plan.refusal = advise_subids(name, "/etc/subuid", subuid);
  else if (gids.empty())
    plan.refusal = advise_subids(name, "/etc/subgid", subgid);
  plan.newuidmap = *newuidmap;
  plan.newgidmap = *newgidmap;
  plan.uids = map_ids(uid, uids);
  plan.gids = map_ids(::getgid(), gids);
  return plan;
}

/// newuidmap or newgidmap, started before the namespace exists (they must be outside of it),
/// waiting to be told to go.
class MappingHelper {
 public:
  MappingHelper(const std::filesystem::path& program, const std::vector<IdMapping>& mappings)
      : go_(make_pipe()), message_(make_pipe()) {
    std::vector<std::string> args{program.filename().string(), std::to_string(::getpid())};
    for (const IdMapping& mapping : mappings) {
      for (std::uint32_t number : {mapping.inside, mapping.outside, mapping.count}) {
        args.push_back(std::to_string(number));
      }
    }
    pid_ = ::fork();
    if (pid_ == 0) run(program, args);
    go_.read = UniqueFd();
    message_.write = UniqueFd();
  }
  MappingHelper(const MappingHelper&) = delete;
  MappingHelper& operator=(const MappingHelper&) = delete;
  ~MappingHelper() { finish(); }

  void start() { static_cast<void>(::write(go_.write.get(), "g", 1)); }

  /// What it said when it failed; nullopt when the ids are mapped.
  std::optional<std::string> finish() {
    if (pid_ <= 0) return "fork failed";
    go_.write = UniqueFd();
    std::string message(kMessageMax, '\0');
    ssize_t const size = ::read(message_.read.get(), message.data(), message.size());
    message.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    while (!message.empty() && message.back() == '\n') message.pop_back();
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
    return message.empty() ? "it failed without a message" : message;
  }

 private:
  [[noreturn]] void run(const std::filesystem::path& program, std::vector<std::string>& args) {
    go_.write = UniqueFd();
    char go = 0;
    if (::read(go_.read.get(), &go, 1) != 1) ::_exit(0);  // no namespace was made
    ::dup2(message_.write.get(), 2);
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
  }

  Pipe go_;
  Pipe message_;
  pid_t pid_ = -1;
};

bool write_file(const char* path, const std::string& text) {
  int const fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  bool const written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return written;
}

/// Maps the user alone: the one mapping that needs nobody's help.
bool map_single_id(uid_t uid, gid_t gid) {
  return write_file("/proc/self/setgroups", "deny") &&
         write_file("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1\n") &&
         write_file("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1\n");
}

/// errno, or 0. The pid namespace is worth having, but not worth failing for.
int make_namespaces() {
  if (::unshare(CLONE_NEWUSER | CLONE_NEWPID) == 0) return 0;
  return ::unshare(CLONE_NEWUSER) == 0 ? 0 : errno;
}

UserNamespaceResult refused(int errno_value) {
  Refusal const why = explain_userns_refusal(errno_value);
  return {.outcome = UserNamespaceOutcome::kRefused,
          .refusal = why.cause + "; allow them with: " + why.remedy};
}

UserNamespaceResult single_id(uid_t uid, gid_t gid, std::string refusal) {
  if (map_single_id(uid, gid)) {
    return {.outcome = UserNamespaceOutcome::kSingleId, .refusal = std::move(refusal)};
  }
  return {.outcome = UserNamespaceOutcome::kRefused, .refusal = std::move(refusal)};
}

}  // namespace

UserNamespaceResult enter_user_namespace(WantedIds wanted) {
  uid_t const uid = ::getuid();
  gid_t const gid = ::getgid();
  MappingPlan const plan = plan_mapping();
  if (wanted == WantedIds::kSingle || !plan.refusal.empty()) {
    if (int const error = make_namespaces(); error != 0) return refused(error);
    return single_id(uid, gid, plan.refusal.empty() ? "only one id was asked for" : plan.refusal);
  }
  MappingHelper uid_helper(plan.newuidmap, plan.uids);
  MappingHelper gid_helper(plan.newgidmap, plan.gids);
  if (int const error = make_namespaces(); error != 0) return refused(error);
  uid_helper.start();
  gid_helper.start();
  auto const uid_failure = uid_helper.finish();
  auto const gid_failure = gid_helper.finish();
  if (!uid_failure && !gid_failure)
    return {.outcome = UserNamespaceOutcome::kAllIds, .refusal = {}};
  std::string const what = uid_failure ? plan.newuidmap.string() + ": " + *uid_failure
                                       : plan.newgidmap.string() + ": " + *gid_failure;
  if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
    return single_id(uid, gid,
                     "no_new_privs is set for this process, which takes newuidmap's rights away (" +
                         what +
                         "); start cobuild without it: no --security-opt no-new-privileges for "
                         "docker run, no NoNewPrivileges=yes in a systemd unit, no --no-new-privs "
                         "for setpriv");
  }
  return single_id(uid, gid, what + "; repair it with: apt-get install --reinstall uidmap");
}

}  // namespace cobuild::ops
