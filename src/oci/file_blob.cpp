#include "oci/file_blob.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "oci/output_file.hpp"

namespace cobuild::oci {
namespace {

Task<std::unique_ptr<BlobReader>> open_reader(asio::thread_pool& pool, std::filesystem::path path) {
  co_return std::make_unique<FileReader>(pool, open_file(path, O_RDONLY));
}

}  // namespace

OpenBlob blob_of_file(asio::thread_pool& pool, std::filesystem::path path) {
  return [&pool, path = std::move(path)] { return open_reader(pool, path); };
}

Task<std::size_t> FileReader::read(std::span<std::byte> buffer) {
  auto read_some = [fd = file_.get(), buffer] {
    ssize_t count = 0;
    do {
      count = ::read(fd, buffer.data(), buffer.size());
    } while (count < 0 && errno == EINTR);
    if (count < 0) throw Error::from_errno(errno, "read a blob");
    return static_cast<std::size_t>(count);
  };
  co_return co_await offload(pool_, read_some);
}

Task<void> FileSink::write(std::span<const std::byte> chunk) {
  if (chunk.size() > bytes_max_ - bytes_) {
    throw Error(ErrorKind::kCorrupt, "longer than " + std::to_string(bytes_max_) + " bytes");
  }
  auto write_all = [this, chunk] {
    write_fully(fd_, chunk, "a download");
    hash_.write(chunk);
    return true;
  };
  co_await offload(pool_, write_all);
  bytes_ += chunk.size();
  if (on_bytes_) on_bytes_(chunk.size());
}

}  // namespace cobuild::oci
