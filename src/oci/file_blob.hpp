#pragma once

/// Blobs in files, read and written on the pool.

#include <boost/asio/thread_pool.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <utility>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/sys/fs.hpp"
#include "oci/content.hpp"

namespace cobuild::oci {

/// Reads a file from its beginning, once.
class FileReader final : public BlobReader {
 public:
  /// `pool` must outlive this.
  FileReader(asio::thread_pool& pool, UniqueFd file) : pool_(pool), file_(std::move(file)) {}

  Task<std::size_t> read(std::span<std::byte> buffer) override;

 private:
  asio::thread_pool& pool_;
  UniqueFd file_;
};

/// Opens the file at `path` whenever it is asked; `pool` must outlive it.
[[nodiscard]] OpenBlob blob_of_file(asio::thread_pool& pool, std::filesystem::path path);

/// Appends to a file, and hashes what it writes.
class FileSink final : public BlobSink {
 public:
  /// `fd` stays the caller's; `pool` must outlive this. More than `bytes_max` are refused.
  /// `on_bytes` is told of each chunk, on the loop; may be empty.
  FileSink(asio::thread_pool& pool, int fd, std::uint64_t bytes_max,
           std::function<void(std::uint64_t bytes)> on_bytes = {})
      : pool_(pool), fd_(fd), bytes_max_(bytes_max), on_bytes_(std::move(on_bytes)) {}

  /// \throws Error kCorrupt beyond bytes_max; kUnavailable for a full disk.
  Task<void> write(std::span<const std::byte> chunk) override;

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  /// Of all that was written. Once only.
  [[nodiscard]] Digest finish() { return hash_.finish(); }

 private:
  asio::thread_pool& pool_;
  int fd_;
  std::uint64_t bytes_max_;
  std::function<void(std::uint64_t bytes)> on_bytes_;
  DigestWriter hash_;
  std::uint64_t bytes_ = 0;
};

}  // namespace cobuild::oci
