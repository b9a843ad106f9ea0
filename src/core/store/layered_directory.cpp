#include "core/store/layered_directory.hpp"

#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cerrno>
#include <set>

#include "core/base/error.hpp"

namespace cobuild::store {
namespace {

constexpr const char* kOpaque = "user.overlay.opaque";

bool is_opaque(const std::filesystem::path& path) {
  char value = 0;
  return ::lgetxattr(path.c_str(), kOpaque, &value, 1) == 1 && value == 'y';
}

struct stat stat_of(const std::filesystem::path& path) {
  struct stat status = {};
  if (::lstat(path.c_str(), &status) != 0) throw Error::from_errno(errno, "stat " + path.string());
  return status;
}

}  // namespace

DirectoryStack stack_layers(const std::vector<std::filesystem::path>& lowers) {
  return {lowers.rbegin(), lowers.rend()};
}

std::map<std::string, MergedEntry> list_merged(const DirectoryStack& stack) {
  std::map<std::string, MergedEntry> entries;
  std::set<std::string> closed;  // names about which lower directories have no say any more
  for (const auto& directory : stack) {
    for (const auto& item : std::filesystem::directory_iterator(directory)) {
      std::string const name = item.path().filename().string();
      if (closed.contains(name)) continue;
      struct stat const status = stat_of(item.path());
      if (!S_ISDIR(status.st_mode)) {
        closed.insert(name);
        if (!is_whiteout(status)) entries.try_emplace(name, MergedEntry{item.path(), status, {}});
        continue;
      }
      auto [entry, first] = entries.try_emplace(name, MergedEntry{item.path(), status, {}});
      entry->second.stack.push_back(item.path());
      if (is_opaque(item.path())) closed.insert(name);
    }
  }
  return entries;
}

bool is_whiteout(const struct stat& status) noexcept {
  return S_ISCHR(status.st_mode) && status.st_rdev == 0;
}

void make_whiteout(const std::filesystem::path& path) {
  if (::mknod(path.c_str(), S_IFCHR, ::makedev(0, 0)) != 0) {
    throw Error::from_errno(errno, "mark " + path.string() + " as deleted");
  }
}

}  // namespace cobuild::store
