#pragma once

/// Trees as text, for comparing.

#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace cobuild::test {

inline std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void put_text(const std::filesystem::path& path, const std::string& text,
                     mode_t mode = 0644) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
  ::chmod(path.c_str(), mode);
}

/// Sets both times, to whole seconds.
inline void set_time(const std::filesystem::path& path, time_t seconds) {
  timespec const times[2] = {{seconds, 0}, {seconds, 0}};
  ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

inline time_t time_of(const std::filesystem::path& path) {
  struct stat status{};
  ::lstat(path.c_str(), &status);
  return status.st_mtim.tv_sec;
}

/// One line for each entry, in order: "a 0644 text", "d/ 0755", "l -> target"; owners other than
/// 0:0 are shown as " 1:2".
inline std::string listing(const std::filesystem::path& root) {
  std::vector<std::string> lines;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    struct stat status{};
    ::lstat(entry.path().c_str(), &status);
    std::string line = entry.path().lexically_relative(root).string();
    char mode[16];
    std::snprintf(mode, sizeof mode, " %04o", static_cast<unsigned>(status.st_mode & 07777U));
    if (S_ISLNK(status.st_mode)) {
      line += " -> " + std::filesystem::read_symlink(entry.path()).string();
    } else if (S_ISDIR(status.st_mode)) {
      line += "/" + std::string(mode);
    } else if (S_ISREG(status.st_mode)) {
      line += mode + (" " + text_of(entry.path()));
    } else if (S_ISCHR(status.st_mode)) {
      line += " char";
    } else {
      line += std::string(mode) + " special";
    }
    if (status.st_uid != 0 || status.st_gid != 0) {
      line += " " + std::to_string(status.st_uid) + ":" + std::to_string(status.st_gid);
    }
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

}  // namespace cobuild::test
