#include "core/sys/file_io.hpp"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "core/base/error.hpp"
#include "core/base/units.hpp"
#include "core/sys/fs.hpp"

namespace cobuild {
namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::uint64_t kRoomMin = std::uint64_t{1} << 20;
constexpr int kLinksMax = 40;  // as the kernel's
constexpr mode_t kPermissionBits = 07777;

void write_all(int fd, std::string_view text, const std::string& what) {
  while (!text.empty()) {
    ssize_t const count = ::write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error::from_errno(errno, "write " + what);
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

/// "/dev/fd/63", "/proc/self/fd/63", "/dev/stdin"
bool is_descriptor(const std::filesystem::path& path) {
  const std::string& text = path.native();
  return text.starts_with("/dev/") || text.starts_with("/proc/");
}

}  // namespace

std::string read_all(int fd, std::size_t bytes_max, const std::string& what) {
  std::string text;
  for (;;) {
    std::size_t const used = text.size();
    text.resize(used + kReadBytes);
    ssize_t const count = ::read(fd, text.data() + used, kReadBytes);
    int const error = errno;
    text.resize(used + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count < 0 && error == EINTR) continue;
    if (count < 0) throw Error::from_errno(error, "read " + what);
    if (count == 0) return text;
    if (text.size() > bytes_max) {
      throw Error(ErrorKind::kInvalidInput,
                  what + " is larger than " + format_bytes(static_cast<std::int64_t>(bytes_max)));
    }
  }
}

std::optional<std::string> read_file_if_exists(const std::filesystem::path& path,
                                               std::size_t bytes_max) {
  // O_NONBLOCK: a named pipe that nobody writes to would be waited for.
  int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (fd < 0) throw Error::from_errno(errno, "open " + path.string());
  UniqueFd const file(fd);
  struct stat status = {};
  if (::fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode)) {
    // Unnamed ones, of a shell's <(command), have their writer.
    if (!is_descriptor(path)) {
      throw Error(ErrorKind::kInvalidInput, path.string() + " is a pipe, not a file");
    }
    ::fcntl(fd, F_SETFL, 0);
  }
  return read_all(file.get(), bytes_max, path.string());
}

bool is_disk_full(const std::filesystem::path& path) noexcept {
  struct statvfs disk = {};
  if (::statvfs(path.c_str(), &disk) != 0 || disk.f_blocks == 0) return false;
  return disk.f_bavail * disk.f_frsize < kRoomMin || (disk.f_files > 0 && disk.f_favail == 0);
}

std::filesystem::path follow_links(std::filesystem::path path) {
  for (int i = 0; i < kLinksMax; ++i) {
    std::error_code error;
    std::filesystem::path const target = std::filesystem::read_symlink(path, error);
    if (error) return path;
    path = path.parent_path() / target;  // `target` alone when it is absolute
  }
  return path;
}

std::string random_name() {
  std::array<unsigned char, 8> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw Error::from_errno(errno, "get random bytes");
  }
  std::string name;
  for (unsigned char const byte : bytes) {
    name += "0123456789abcdef"[byte >> 4U];
    name += "0123456789abcdef"[byte & 15U];
  }
  return name;
}

void replace_file(const std::filesystem::path& name, const std::string& text) {
  std::filesystem::path const path = follow_links(name);
  std::string const temporary = path.string() + ".tmp-" + random_name();
  try {
    UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!file) throw Error::from_errno(errno, "create " + name.string());
    struct stat old = {};
    if (::stat(path.c_str(), &old) == 0) ::fchmod(file.get(), old.st_mode & kPermissionBits);
    write_all(file.get(), text, path.string());
    file.close();
    if (::rename(temporary.c_str(), path.c_str()) != 0) {
      throw Error::from_errno(errno, "rename " + temporary + " to " + path.string());
    }
  } catch (...) {
    ::unlink(temporary.c_str());
    throw;
  }
}

void write_new_file(const std::filesystem::path& path, std::string_view text, unsigned mode) {
  UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (::fchmod(file.get(), mode) != 0) throw Error::from_errno(errno, "chmod " + path.string());
  write_all(file.get(), text, path.string());
  file.close();
}

}  // namespace cobuild
