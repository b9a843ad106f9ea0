#pragma once

/// What overlayfs would show of stacked layer directories, found without mounting. Private to
/// core/store and its tests.

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace cobuild::store {

/// One merged directory, as the directories it is made of, highest first. Empty: nothing there.
using DirectoryStack = std::vector<std::filesystem::path>;

struct MergedEntry {
  std::filesystem::path path;  ///< Of the entry that is seen.
  struct stat status = {};
  DirectoryStack stack;  ///< For a directory: `path`, and those below that shine through.
};

/// The stack for layers given lowest first.
[[nodiscard]] DirectoryStack stack_layers(const std::vector<std::filesystem::path>& lowers);

/// The entries that are seen, by name: whiteouts hide, opaque directories end a stack.
[[nodiscard]] std::map<std::string, MergedEntry> list_merged(const DirectoryStack& stack);

[[nodiscard]] bool is_whiteout(const struct stat& status) noexcept;

/// Marks `path` as deleted in its layer. \throws Error when the file system takes no devices 0/0.
void make_whiteout(const std::filesystem::path& path);

}  // namespace cobuild::store
