#pragma once

/// An object cut into parts, several of which are on their way at once.

#include <boost/asio/any_io_executor.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "core/async/semaphore.hpp"
#include "core/async/task.hpp"
#include "oci/content.hpp"

namespace cobuild::registry {

struct Part {
  std::size_t index = 0;     ///< From 0.
  std::uint64_t offset = 0;  ///< Of its first byte in the object.
  std::string bytes;
};

class PartUpload {
 public:
  /// Parts are of `part_bytes`, and longer only where there would be more than `parts_max` of them.
  /// Not more than `parallel` are in memory, over all objects that are being sent.
  PartUpload(asio::any_io_executor executor, std::size_t part_bytes, std::size_t parts_max,
             std::size_t parallel);

  /// How many parts make an object of `size` bytes. None is empty; an empty object has none.
  [[nodiscard]] std::size_t count(std::uint64_t size) const noexcept;

  using SendPart = std::function<Task<void>(const Part&)>;

  /// Reads `size` bytes of what `open` opens, once, and awaits `send` for each part. What is passed
  /// by reference outlives the call. \throws Error kCorrupt when there are fewer bytes, and what
  /// `open` and `send` throw.
  Task<void> send(std::uint64_t size, oci::OpenBlob open, const SendPart& send);

 private:
  [[nodiscard]] std::uint64_t part_bytes(std::uint64_t size) const noexcept;

  asio::any_io_executor executor_;
  std::size_t part_bytes_;
  std::size_t parts_max_;
  std::size_t parallel_;
  Semaphore memory_;
};

}  // namespace cobuild::registry
