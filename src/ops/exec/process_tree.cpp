#include "ops/exec/process_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild::ops {
namespace {

constexpr std::size_t kStatMax = 1024;

using Children = std::map<pid_t, std::vector<pid_t>>;

/// The parent in /proc/<pid>/stat: the second word after the name, which is in parentheses and may
/// hold anything.
pid_t parent_of(pid_t pid) {
  std::string const path = "/proc/" + std::to_string(pid) + "/stat";
  int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::array<char, kStatMax> buffer{};
  ssize_t const size = ::read(fd, buffer.data(), buffer.size());
  ::close(fd);
  if (size <= 0) return 0;
  std::string_view text(buffer.data(), static_cast<std::size_t>(size));
  std::size_t const name_end = text.rfind(") ");
  if (name_end == std::string_view::npos || name_end + 4 >= text.size()) return 0;
  text.remove_prefix(name_end + 4);  // ") ", the state, a space
  pid_t parent = 0;
  std::from_chars(text.data(), text.data() + text.size(), parent);
  return parent;
}

bool proc_is_ours() {
  std::array<char, 32> target{};
  ssize_t const size = ::readlink("/proc/self", target.data(), target.size());
  return size > 0 && std::string_view(target.data(), static_cast<std::size_t>(size)) ==
                         std::to_string(::getpid());
}

Children read_children() {
  Children children;
  std::unique_ptr<DIR, int (*)(DIR*)> const proc(::opendir("/proc"), ::closedir);
  if (!proc) return children;
  while (const dirent* entry = ::readdir(proc.get())) {
    std::string_view const name(entry->d_name);
    pid_t pid = 0;
    auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error != std::errc() || end != name.data() + name.size()) continue;
    children[parent_of(pid)].push_back(pid);
  }
  return children;
}

}  // namespace

int kill_descendants(pid_t root) noexcept try {
  if (!proc_is_ours()) return 0;
  Children const children = read_children();
  std::vector<pid_t> waiting{root};
  int killed = 0;
  while (!waiting.empty()) {
    auto const found = children.find(waiting.back());
    waiting.pop_back();
    if (found == children.end()) continue;
    for (pid_t pid : found->second) {
      if (pid == root) continue;
      ::kill(pid, SIGKILL);
      ++killed;
      waiting.push_back(pid);
    }
  }
  return killed;
} catch (...) {
  return 0;  // out of memory: the next round may do better
}

}  // namespace cobuild::ops
