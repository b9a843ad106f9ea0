#include "ops/growing_blob.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/steady_timer.hpp>

#include <cerrno>
#include <chrono>

#include "core/base/error.hpp"

namespace cobuild::ops {
namespace {

/// Between two looks at the file: it grows by a MiB or two.
constexpr std::chrono::milliseconds kLookInterval{20};

class GrowingReader final : public oci::BlobReader {
 public:
  GrowingReader(int fd, std::uint64_t offset) : fd_(fd), offset_(offset) {}

  Task<std::size_t> read(std::span<std::byte> buffer) override {
    ssize_t count = 0;
    do {
      count = ::pread(fd_, buffer.data(), buffer.size(), static_cast<off_t>(offset_));
    } while (count < 0 && errno == EINTR);
    if (count < 0) throw Error::from_errno(errno, "read a layer's blob");
    offset_ += static_cast<std::uint64_t>(count);
    co_return static_cast<std::size_t>(count);
  }

 private:
  int fd_;
  std::uint64_t offset_;
};

}  // namespace

Task<std::uint64_t> GrowingBlob::wait_for(std::uint64_t bytes) {
  asio::steady_timer timer(executor_);
  for (;;) {
    bool const was_over = over_;  // Before the size, which is the whole's then.
    struct stat status{};
    if (::fstat(file_.get(), &status) != 0) throw Error::from_errno(errno, "look at a layer's blob");
    auto const size = static_cast<std::uint64_t>(status.st_size);
    if (size >= bytes || was_over) co_return size;
    timer.expires_after(kLookInterval);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

void GrowingBlob::end(std::optional<BlobDigest> digest) {
  over_ = true;
  digest_ = digest;
}

std::unique_ptr<oci::BlobReader> GrowingBlob::read_from(std::uint64_t offset) const {
  return std::make_unique<GrowingReader>(file_.get(), offset);
}

}  // namespace cobuild::ops
