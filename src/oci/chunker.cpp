#include "oci/chunker.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "oci/tar_stream.hpp"

namespace cobuild::oci {
namespace {

/// SplitMix64, from a fixed seed.
constexpr std::array<std::uint64_t, 256> make_gear() {
  std::array<std::uint64_t, 256> gear{};
  std::uint64_t state = 0x6d6f756e74730001;
  for (std::uint64_t& value : gear) {
    state += 0x9e3779b97f4a7c15;
    std::uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    value = z ^ (z >> 31);
  }
  return gear;
}

constexpr std::array<std::uint64_t, 256> kGear = make_gear();
/// One in 2^18 and one in 2^14: two bits more and two less than the normal size has.
constexpr std::uint64_t kRareCut = ~(~std::uint64_t{0} >> 18);
constexpr std::uint64_t kOftenCut = ~(~std::uint64_t{0} >> 14);

constexpr std::size_t kBufferBytes = 4 * kCutBytesMax;

}  // namespace

std::size_t first_cut(std::span<const std::byte> data) noexcept {
  std::size_t const end = std::min(data.size(), kCutBytesMax);
  std::size_t const normal = std::min(end, kCutBytesNormal);
  std::uint64_t hash = 0;
  std::size_t at = kCutBytesMin;
  for (; at < normal; ++at) {
    hash = (hash << 1) + kGear[std::to_integer<std::size_t>(data[at])];
    if ((hash & kRareCut) == 0) return at;
  }
  for (; at < end; ++at) {
    hash = (hash << 1) + kGear[std::to_integer<std::size_t>(data[at])];
    if ((hash & kOftenCut) == 0) return at;
  }
  return end;
}

FileCutter::FileCutter() : buffer_(kBufferBytes) {}

void FileCutter::cut(int fd, std::string_view path,
                     const std::function<void(std::span<const std::byte> chunk)>& out) {
  std::size_t held = 0;
  bool ended = false;
  while (!ended || held > 0) {
    while (!ended && held < buffer_.size()) {
      std::size_t const count = read_some_of(fd, std::span(buffer_).subspan(held), path);
      ended = count == 0;
      held += count;
    }
    std::span<const std::byte> left(buffer_.data(), held);
    while (!left.empty() && (ended || left.size() >= kCutBytesMax)) {
      std::size_t const size = first_cut(left);
      out(left.first(size));
      left = left.subspan(size);
    }
    std::memmove(buffer_.data(), left.data(), left.size());
    held = left.size();
  }
}

}  // namespace cobuild::oci
