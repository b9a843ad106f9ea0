#include "oci/folder_store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/sys/tree.hpp"
#include "oci/output_file.hpp"

namespace cobuild::oci {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kUnfinished = ".tmp-";  ///< In names of files that are being written.
constexpr std::size_t kNameBytesMax = 240;  ///< Of a file, less what a temporary name adds.

std::string to_file_name(std::string name) {
  std::ranges::replace(name, '/', '%');
  return name;
}

std::string to_object_name(std::string file) {
  std::ranges::replace(file, '%', '/');
  return file;
}

std::optional<ObjectInfo> find_file(const fs::path& path, std::string name) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    throw Error::from_errno(errno, "look for " + path.string());
  }
  if (!S_ISREG(status.st_mode)) return std::nullopt;
  return ObjectInfo{std::move(name), static_cast<std::uint64_t>(status.st_size)};
}

/// Files whose names begin with `prefix`, the newest first.
std::vector<WrittenObject> list_files(const fs::path& directory, const std::string& prefix) {
  UniqueFd const fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return {};
  if (!fd) throw Error::from_errno(errno, "open " + directory.string());
  std::vector<WrittenObject> found;
  for (const DirectoryEntry& entry : list_directory(fd.get())) {
    if (!entry.name.starts_with(prefix) || entry.name.find(kUnfinished) != std::string::npos) continue;
    auto const status = stat_at(fd.get(), entry.name.c_str());
    if (!status || !S_ISREG(status->st_mode)) continue;
    auto const time = std::chrono::seconds(status->st_mtim.tv_sec) +
                      std::chrono::nanoseconds(status->st_mtim.tv_nsec);
    found.push_back({to_object_name(entry.name), Timestamp(time)});
  }
  std::ranges::sort(found, std::ranges::greater(), [](const WrittenObject& object) {
    return std::pair(object.written, object.name);
  });
  return found;
}

}  // namespace

FolderStore::FolderStore(fs::path directory, asio::thread_pool& pool)
    : directory_(std::move(directory)), pool_(pool) {}

fs::path FolderStore::path_of(const std::string& name) const {
  std::string file = to_file_name(name);
  if (file.empty() || file.starts_with('.') || file.find(kUnfinished) != std::string::npos ||
      file.size() > kNameBytesMax) {
    throw Error(ErrorKind::kInvalidInput, "no name for an object: " + name);
  }
  return directory_ / file;
}

Task<std::optional<ObjectInfo>> FolderStore::find(std::string name) {
  auto job = [path = path_of(name), name] { return find_file(path, name); };
  co_return co_await offload(pool_, std::move(job));
}

Task<std::optional<ObjectInfo>> FolderStore::find_newest(std::string prefix) {
  std::vector<WrittenObject> const found = co_await list(std::move(prefix));
  if (found.empty()) co_return std::nullopt;
  co_return co_await find(found.front().name);
}

Task<std::vector<WrittenObject>> FolderStore::list(std::string prefix) {
  auto job = [directory = directory_, prefix = to_file_name(std::move(prefix))] {
    return list_files(directory, prefix);
  };
  co_return co_await offload(pool_, std::move(job));
}

Task<void> FolderStore::remove(std::vector<std::string> names) {
  std::vector<fs::path> paths;
  for (const std::string& name : names) paths.push_back(path_of(name));
  auto job = [paths = std::move(paths)] {
    for (const fs::path& path : paths) {
      if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
        throw Error::from_errno(errno, "remove " + path.string());
      }
    }
    return true;
  };
  co_await offload(pool_, std::move(job));
}

Task<void> FolderStore::read(std::string name, std::uint64_t offset, std::uint64_t length,
                             BlobSink& sink) {
  fs::path const path = path_of(name);
  UniqueFd const file = open_file(path, O_RDONLY);
  std::vector<std::byte> buffer(kChunkBytesMax);
  while (length > 0) {
    auto const wanted = std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), length)));
    auto read_some = [fd = file.get(), wanted, offset, &path] {
      ssize_t count = 0;
      do {
        count = ::pread(fd, wanted.data(), wanted.size(), static_cast<off_t>(offset));
      } while (count < 0 && errno == EINTR);
      if (count < 0) throw Error::from_errno(errno, "read " + path.string());
      return static_cast<std::size_t>(count);
    };
    std::size_t const count = co_await offload(pool_, read_some);
    if (count == 0) break;
    co_await sink.write(wanted.first(count));
    offset += count;
    length -= count;
  }
}

Task<void> FolderStore::write(std::string name, std::uint64_t size, OpenBlob open) {
  fs::path const path = path_of(name);
  auto make = [directory = directory_, path] {
    std::error_code error;
    fs::create_directories(directory, error);
    if (error) throw Error::from_errno(error.value(), "make " + directory.string());
    return std::make_unique<OutputFile>(path, 0666);
  };
  std::unique_ptr<OutputFile> const file = co_await offload(pool_, std::move(make));
  std::unique_ptr<BlobReader> const blob = co_await open();
  std::vector<std::byte> buffer(kChunkBytesMax);
  for (std::uint64_t left = size; left > 0;) {
    auto const place = std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), left)));
    std::size_t const count = co_await blob->read(place);
    if (count == 0) throw Error(ErrorKind::kInternal, name + " is shorter than it was said to be");
    auto write_some = [fd = file->fd(), piece = place.first(count), &path] {
      write_fully(fd, std::span<const std::byte>(piece), path.string());
      return true;
    };
    co_await offload(pool_, write_some);
    left -= count;
  }
  auto commit = [&file] {
    file->commit();
    return true;
  };
  co_await offload(pool_, commit);
}

}  // namespace cobuild::oci
