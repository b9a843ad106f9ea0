#include "ops/exec/leftover_cgroups.hpp"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "cobuild-";
constexpr const char* kRoot = "/sys/fs/cgroup";
constexpr const char* kParent = "buildkit";
/// How long killed processes may take to leave their cgroup.
constexpr int kTriesMax = 50;
constexpr long kTryNs = 2'000'000;

/// The waiting parent's pid in a container's name.
std::optional<pid_t> owner_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  pid_t owner = 0;
  auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), owner);
  if (error != std::errc() || end == name.data() + name.size() || *end != '-') return std::nullopt;
  return owner;
}

bool is_gone(pid_t pid) {
  return ::kill(pid, 0) != 0 && errno == ESRCH;
}

/// Where our cgroups are: once on version 2, in each hierarchy on version 1.
std::vector<fs::path> parents() {
  std::error_code error;
  fs::path const unified = fs::path(kRoot) / kParent;
  if (fs::exists(fs::path(kRoot) / "cgroup.procs", error)) return {unified};
  std::vector<fs::path> found;
  for (fs::directory_iterator entry(kRoot, error), end; !error && entry != end;
       entry.increment(error)) {
    found.push_back(entry->path() / kParent);
  }
  return found;
}

void remove_patiently(const fs::path& cgroup) {
  for (int i = 0; i < kTriesMax; ++i) {
    if (::rmdir(cgroup.c_str()) == 0 || errno != EBUSY) return;
    timespec const nap = {.tv_sec = 0, .tv_nsec = kTryNs};
    ::nanosleep(&nap, nullptr);
  }
}

}  // namespace

std::string container_id_prefix(pid_t owner) {
  return std::string(kPrefix) + std::to_string(owner) + "-";
}

void remove_leftover_cgroups(pid_t ended) noexcept try {
  for (const fs::path& parent : parents()) {
    std::error_code error;
    for (fs::directory_iterator entry(parent, error), end; !error && entry != end;
         entry.increment(error)) {
      auto const owner = owner_of(entry->path().filename().native());
      if (!owner) continue;
      if (*owner == ended) {
        remove_patiently(entry->path());
      } else if (is_gone(*owner)) {
        ::rmdir(entry->path().c_str());
      }
    }
  }
} catch (...) {  // they are empty directories: the next build tries again
}

}  // namespace cobuild::ops
