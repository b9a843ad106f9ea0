#pragma once

/// The blob of a layer while it is being packed.

#include <boost/asio/any_io_executor.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/sys/fs.hpp"
#include "oci/content.hpp"

namespace cobuild::ops {

/// A file that a thread appends to which knows nothing of who reads. Lives on the loop.
class GrowingBlob {
 public:
  /// `file` is the blob's; `description` is the layer's.
  GrowingBlob(asio::any_io_executor executor, UniqueFd file, std::string description)
      : executor_(std::move(executor)), file_(std::move(file)), description_(std::move(description)) {}

  /// Waits until there are `bytes` of it, or it is over; returns how many there are.
  Task<std::uint64_t> wait_for(std::uint64_t bytes);

  /// Whether nothing more comes.
  [[nodiscard]] bool is_over() const noexcept { return over_; }
  /// Of the whole; nullopt: it is not over, or was not made.
  [[nodiscard]] const std::optional<BlobDigest>& digest() const noexcept { return digest_; }
  [[nodiscard]] const std::string& description() const noexcept { return description_; }

  /// Nothing more comes; `digest` is that of the whole, nullopt when it failed.
  void end(std::optional<BlobDigest> digest);

  /// Reads what there is from `offset` on; this must outlive it. On the loop: the bytes have just
  /// been written, and the pool's threads are busy packing.
  [[nodiscard]] std::unique_ptr<oci::BlobReader> read_from(std::uint64_t offset) const;

 private:
  asio::any_io_executor executor_;
  UniqueFd file_;
  std::string description_;
  std::optional<BlobDigest> digest_;
  bool over_ = false;
};

/// Told of layers that are packed, on the loop.
class PackWatcher {
 public:
  virtual ~PackWatcher() = default;
  /// Whoever packs calls end() of it.
  virtual void begun(std::shared_ptr<GrowingBlob> blob) = 0;
};

}  // namespace cobuild::ops
