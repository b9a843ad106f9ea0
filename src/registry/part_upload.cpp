#include "registry/part_upload.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

/// What the parts of one object share. They are read in order, one at a time.
struct Object {
  std::unique_ptr<oci::BlobReader> reader;
  std::uint64_t size;
  std::uint64_t part_bytes;
  Semaphore turn;
  Semaphore& memory;
  const PartUpload::SendPart& send;
};

Task<std::string> read_exactly(oci::BlobReader& reader, std::size_t bytes) {
  std::string out(bytes, '\0');
  auto room = std::as_writable_bytes(std::span(out));
  while (!room.empty()) {
    std::size_t const count =
        co_await reader.read(room.first(std::min(room.size(), oci::kChunkBytesMax)));
    if (count == 0) throw Error(ErrorKind::kCorrupt, "content is shorter than announced");
    room = room.subspan(count);
  }
  co_return out;
}

Task<Part> read_part(Object& object, std::size_t index) {
  auto const turn = co_await object.turn.acquire();
  Part part{.index = index, .offset = index * object.part_bytes, .bytes = {}};
  auto const length = std::min(object.part_bytes, object.size - part.offset);
  part.bytes = co_await read_exactly(*object.reader, static_cast<std::size_t>(length));
  co_return part;
}

Task<void> send_part(Object& object, std::size_t index) {
  auto const slot = co_await object.memory.acquire();
  Part const part = co_await read_part(object, index);
  co_await object.send(part);
}

}  // namespace

PartUpload::PartUpload(asio::any_io_executor executor, std::size_t part_bytes,
                       std::size_t parts_max, std::size_t parallel)
    : executor_(executor),
      part_bytes_(part_bytes),
      parts_max_(parts_max),
      parallel_(parallel),
      memory_(executor, parallel) {}

std::uint64_t PartUpload::part_bytes(std::uint64_t size) const noexcept {
  return std::max<std::uint64_t>(part_bytes_, (size + parts_max_ - 1) / parts_max_);
}

std::size_t PartUpload::count(std::uint64_t size) const noexcept {
  std::uint64_t const bytes = part_bytes(size);
  return static_cast<std::size_t>((size + bytes - 1) / bytes);
}

Task<void> PartUpload::send(std::uint64_t size, oci::OpenBlob open, const SendPart& send) {
  Object object{.reader = co_await open(),
                .size = size,
                .part_bytes = part_bytes(size),
                .turn = Semaphore(executor_, 1),
                .memory = memory_,
                .send = send};
  std::vector<std::size_t> indexes(count(size));
  std::iota(indexes.begin(), indexes.end(), std::size_t{0});
  // Memory is given in the order in which it is asked for, and so is the turn to read.
  auto work = [&](std::size_t index) { return send_part(object, index); };
  co_await for_each_bounded(std::move(indexes), parallel_, work);
}

}  // namespace cobuild::registry
