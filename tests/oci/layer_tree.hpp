#pragma once

/// Layer directories for tests: made by hand, packed, unpacked and listed.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "core/sys/fs.hpp"
#include "core/sys/tree.hpp"
#include "oci/layer_apply.hpp"
#include "oci/layer_diff.hpp"
#include "oci/layer_stack.hpp"

namespace cobuild::test {

namespace fs = std::filesystem;

/// A temporary directory, gone with the test.
class Scratch {
 public:
  Scratch() : dir_(TempDir::create(fs::temp_directory_path(), "oci-test-")) {}
  [[nodiscard]] fs::path path() const { return dir_.path(); }
  [[nodiscard]] fs::path make(const std::string& name) const {
    fs::create_directories(dir_.path() / name);
    return dir_.path() / name;
  }

 private:
  TempDir dir_;
};

inline void write_text(const fs::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_text(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// An open file with these bytes, at its start.
inline UniqueFd file_with(const std::string& bytes) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  EXPECT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  return fd;
}

inline oci::AppliedLayer unpack(const std::string& blob, const fs::path& directory,
                                const oci::ApplyOptions& options = {}) {
  UniqueFd const fd = file_with(blob);
  return oci::apply_layer(fd.get(), directory, options);
}

inline std::string tar_of(const fs::path& layer, const std::vector<fs::path>& lower = {},
                          const oci::DiffOptions& options = {}) {
  std::string tar;
  oci::write_layer_tar({layer}, lower, options, [&](std::span<const std::byte> data) {
    tar.append(reinterpret_cast<const char*>(data.data()), data.size());
  });
  return tar;
}

inline bool can_make_whiteouts() {
  Scratch const scratch;
  return ::mknod((scratch.path() / "w").c_str(), S_IFCHR, makedev(0, 0)) == 0;
}

inline void make_whiteout(const fs::path& path) {
  ASSERT_EQ(::mknod(path.c_str(), S_IFCHR, makedev(0, 0)), 0);
}

inline void make_opaque(const fs::path& path) {
  ASSERT_EQ(::setxattr(path.c_str(), "user.overlay.opaque", "y", 1, 0), 0);
}

/// Sets the times of a file, and of no other: whole seconds unless said otherwise.
inline void set_time(const fs::path& path, std::int64_t seconds, long nanoseconds = 0) {
  timespec const times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
}

/// One line for each entry below `root`, sorted: enough to tell two layers apart.
inline std::map<std::string, std::string> describe(const fs::path& root, bool with_times = true) {
  std::map<std::string, std::string> out;
  std::map<ino_t, std::string> first_name;
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(root)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    struct stat status{};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0);
    std::string const name = path.lexically_relative(root).string();
    std::ostringstream line;
    if (oci::is_whiteout(status)) {
      out[name] = "whiteout";
      continue;
    }
    line << std::oct << status.st_mode << std::dec << ' ' << status.st_uid << ':' << status.st_gid;
    if (with_times) line << " t" << status.st_mtim.tv_sec << '.' << status.st_mtim.tv_nsec;
    if (S_ISREG(status.st_mode)) line << " =" << Digest::of(read_text(path)).hex().substr(0, 12);
    if (S_ISLNK(status.st_mode)) line << " ->" << fs::read_symlink(path).string();
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) line << " dev" << status.st_rdev;
    UniqueFd const parent = open_file(path.parent_path(), O_PATH | O_DIRECTORY);
    for (const auto& [key, value] : read_xattrs_at(parent.get(), path.filename().string())) {
      line << ' ' << key << '=' << value.size();
    }
    if (status.st_nlink > 1 && !S_ISDIR(status.st_mode)) {
      auto const [known, is_new] = first_name.emplace(status.st_ino, name);
      if (!is_new) line << " same as " << known->second;
    }
    out[name] = line.str();
  }
  return out;
}

}  // namespace cobuild::test
