#include "oci/output_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/sys/file_io.hpp"

namespace cobuild::oci {

Error write_error(int errno_value, std::string_view what) {
  std::string const text = "write " + std::string(what);
  if (errno_value == ENOSPC) {
    return Error(ErrorKind::kUnavailable, text + ": no space left on device");
  }
  if (errno_value == EDQUOT)
    return Error(ErrorKind::kUnavailable, text + ": the disk quota is used up");
  return Error::from_errno(errno_value, text);
}

void write_fully(int fd, std::span<const std::byte> data, std::string_view what) {
  while (!data.empty()) {
    ssize_t const n = ::write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw write_error(errno, what);
    data = data.subspan(static_cast<std::size_t>(n));
  }
}

void write_fully(int fd, std::string_view data, std::string_view what) {
  write_fully(fd, std::as_bytes(std::span(data)), what);
}

OutputFile::OutputFile(const std::filesystem::path& path, unsigned mode)
    : path_(follow_links(path)) {
  struct stat status{};
  bool const exists = ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) {
    throw Error(ErrorKind::kInvalidInput, path.string() + ": destination file is a directory");
  }
  if (exists && !S_ISREG(status.st_mode)) {
    fd_ = open_file(path, O_WRONLY);
    return;
  }
  // Not mkstemp, which makes mode 0600 of every mode, and asking for the umask changes it.
  temporary_ = path_;
  temporary_ += ".tmp-" + random_name();
  fd_ = UniqueFd(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd_) {
    int const error = errno;
    temporary_.clear();
    throw Error::from_errno(error, "create " + path_.string());
  }
  if (exists) ::fchmod(fd_.get(), status.st_mode & 07777);
}

OutputFile::~OutputFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void OutputFile::commit() {
  fd_.close();
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    throw Error::from_errno(errno, "rename " + temporary_.string() + " to " + path_.string());
  }
  temporary_.clear();
}

}  // namespace cobuild::oci
