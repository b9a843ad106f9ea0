#include "oci/tar_stream.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "oci/tar_header.hpp"

namespace cobuild::oci {

namespace {
constexpr std::size_t kBufferBytes = 256 * 1024;
}  // namespace

std::size_t read_some_of(int fd, std::span<std::byte> buffer, std::string_view path) {
  for (;;) {
    ssize_t const n = ::read(fd, buffer.data(), buffer.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno != EINTR) throw Error::from_errno(errno, "read /" + std::string(path));
  }
}

TarStream::TarStream(ByteFn out) : out_(std::move(out)) {
  buffer_.reserve(kBufferBytes);
}

void TarStream::write(std::string_view text) {
  auto const bytes = std::as_bytes(std::span(text));
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  if (buffer_.size() > kBufferBytes) flush();
}

void TarStream::write_file(int fd, std::uint64_t size, std::string_view path) {
  std::uint64_t left = size;
  while (left > 0) {
    if (buffer_.size() == kBufferBytes) flush();
    std::size_t const used = buffer_.size();
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kBufferBytes, used + left)));
    std::size_t const n = read_some_of(fd, std::span(buffer_).subspan(used), path);
    buffer_.resize(used + n);
    if (n == 0) {
      throw Error(ErrorKind::kInternal,
                  "/" + std::string(path) + " became shorter while it was read");
    }
    left -= n;
  }
  write(std::string(tar_padding(size), '\0'));
}

void TarStream::flush() {
  if (!buffer_.empty()) out_(buffer_);
  buffer_.clear();
}

}  // namespace cobuild::oci
