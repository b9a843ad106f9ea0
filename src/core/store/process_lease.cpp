#include "core/store/process_lease.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

UniqueFd lock_directory(const std::filesystem::path& directory, int how) {
  UniqueFd fd = open_file(directory, O_RDONLY | O_DIRECTORY);
  while (::flock(fd.get(), how) != 0) {
    if (errno != EINTR) throw Error::from_errno(errno, "lock " + directory.string());
  }
  return fd;
}

/// Whether `fd` is still the file that `path` names.
bool is_same_file(int fd, const std::filesystem::path& path) {
  struct stat open_file_stat{};
  struct stat named{};
  return ::fstat(fd, &open_file_stat) == 0 && ::stat(path.c_str(), &named) == 0 &&
         open_file_stat.st_ino == named.st_ino && open_file_stat.st_dev == named.st_dev;
}

}  // namespace

ProcessLease::ProcessLease(std::filesystem::path path, UniqueFd lock)
    : path_(std::move(path)), name_(path_.filename()), lock_(std::move(lock)) {}

ProcessLease::~ProcessLease() {
  if (lock_) ::unlink(path_.c_str());
}

ProcessLease ProcessLease::create(std::filesystem::path directory) {
  for (;;) {
    auto path = directory / random_name();
    UniqueFd file = open_file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    // Between these two steps somebody may take us for dead and clean up; then a new name will do.
    if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0 && is_same_file(file.get(), path)) {
      return ProcessLease(std::move(path), std::move(file));
    }
  }
}

std::optional<ProcessLease> ProcessLease::take_over(std::filesystem::path directory,
                                                    const std::string& name) {
  auto path = directory / name;
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return std::nullopt;
  if (!is_same_file(file.get(), path)) return std::nullopt;
  return ProcessLease(std::move(path), std::move(file));
}

std::vector<std::string> list_leases(const std::filesystem::path& directory) {
  UniqueFd const fd = open_file(directory, O_RDONLY | O_DIRECTORY);
  std::vector<std::string> names;
  for (DirectoryEntry& entry : list_directory(fd.get())) names.push_back(std::move(entry.name));
  return names;
}

bool is_alive(const std::filesystem::path& directory, const std::string& name) {
  UniqueFd const file(::open((directory / name).c_str(), O_RDWR | O_CLOEXEC));
  // A shared lock, so that two who ask at once do not take each other for the process.
  return file && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0;
}

CollectorLock::CollectorLock(const std::filesystem::path& leases)
    : directory_(lock_directory(leases, LOCK_EX)) {}

void CollectorLock::wait_for_others(const std::filesystem::path& leases) {
  (void)lock_directory(leases, LOCK_SH);
}

}  // namespace cobuild::store
