#include "oci/tree_index.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.hpp"
#include "oci/chunker.hpp"

namespace cobuild::oci {
namespace {

/// A byte of zstd can stand for 32 KiB: this much of it, for what may be held at once.
constexpr std::size_t kPieceBytes = 512;
/// Of the unpacked index: headers of kTreeEntriesMax entries with long names and attributes.
constexpr std::uint64_t kUnpackedBytesMax = std::uint64_t{16} << 30;
constexpr std::size_t kHeadBytesMax = kTreeChunksMax * 3 * 44 + kTreePacksMax * 44 + 64;
constexpr std::size_t kHeadReserve = std::size_t{1} << 20;

[[noreturn]] void throw_corrupt(const std::string& what) {
  throw Error(ErrorKind::kCorrupt, "bad index: " + what);
}

void append_digest(std::string& out, const Digest& digest) {
  out.append(reinterpret_cast<const char*>(digest.bytes().data()), Digest::kByteCount);
}

/// Takes values off the front of a head.
class HeadReader {
 public:
  explicit HeadReader(std::string_view bytes) : left_(bytes) {}

  std::uint64_t number(std::size_t size) {
    std::string_view const bytes = take(size);
    std::uint64_t value = 0;
    for (std::size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return value;
  }
  std::uint32_t number32() { return static_cast<std::uint32_t>(number(4)); }

  Digest digest() {
    Digest::Bytes bytes{};
    std::memcpy(bytes.data(), take(bytes.size()).data(), bytes.size());
    return Digest(bytes);
  }

  /// A count of things that have `size` bytes each, at least.
  std::size_t count(std::size_t size, std::size_t count_max) {
    std::size_t const value = number32();
    if (value > count_max || value > left_.size() / size) throw_corrupt("a count is too large");
    return value;
  }

  [[nodiscard]] bool at_end() const noexcept { return left_.empty(); }

 private:
  std::string_view take(std::size_t size) {
    if (left_.size() < size) throw_corrupt("it is cut short");
    std::string_view const bytes = left_.substr(0, size);
    left_.remove_prefix(size);
    return bytes;
  }

  std::string_view left_;
};

TreePack read_pack(HeadReader& in, const std::vector<TreeChunk>& chunks, std::vector<bool>& placed) {
  TreePack pack{.digest = in.digest(), .bytes = in.number(8), .records = {}};
  pack.records.resize(in.count(8, kTreeChunksMax));
  for (TreePack::Record& record : pack.records) {
    record = {in.number32(), in.number32()};
    if (record.size == 0 || record.size > kCutBytesMax) throw_corrupt("a chunk has a wrong size");
    if (record.chunk == kDeadChunk) continue;
    if (record.chunk >= chunks.size()) throw_corrupt("a chunk that there is not");
    if (record.size != chunks[record.chunk].size) throw_corrupt("a chunk has two sizes");
    if (placed[record.chunk]) throw_corrupt("a chunk is in two places");
    placed[record.chunk] = true;
  }
  return pack;
}

}  // namespace

std::uint64_t TreePack::raw_bytes() const noexcept {
  std::uint64_t bytes_sum = 0;
  for (const Record& record : records) bytes_sum += record.size;
  return bytes_sum;
}

std::uint64_t TreePack::live_bytes() const noexcept {
  std::uint64_t bytes_sum = 0;
  for (const Record& record : records) bytes_sum += record.chunk == kDeadChunk ? 0 : record.size;
  return bytes_sum;
}

void append_number(std::string& out, std::uint32_t number) {
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(number >> shift & 0xff);
}

std::string format_tree_head(const TreeHead& head) {
  std::string body;
  append_digest(body, head.tree);
  append_number(body, static_cast<std::uint32_t>(head.chunks.size()));
  append_number(body, static_cast<std::uint32_t>(head.packs.size()));
  for (const TreeChunk& chunk : head.chunks) {
    append_digest(body, chunk.digest);
    append_number(body, chunk.size);
  }
  for (const TreePack& pack : head.packs) {
    append_digest(body, pack.digest);
    append_number(body, static_cast<std::uint32_t>(pack.bytes));
    append_number(body, static_cast<std::uint32_t>(pack.bytes >> 32));
    append_number(body, static_cast<std::uint32_t>(pack.records.size()));
    for (const TreePack::Record& record : pack.records) {
      append_number(body, record.chunk);
      append_number(body, record.size);
    }
  }
  std::string out = format_tar_header({.name = std::string(kHeadName),
                                       .mode = 0644,
                                       .size = static_cast<std::int64_t>(body.size())});
  out += body;
  out.append(tar_padding(body.size()), '\0');
  return out;
}

TreeHead parse_tree_head(std::string_view bytes) {
  HeadReader in(bytes);
  TreeHead head{.tree = in.digest(), .chunks = {}, .packs = {}};
  std::size_t const chunks = in.count(36, kTreeChunksMax);
  std::size_t const packs = in.count(44, kTreePacksMax);
  head.chunks.reserve(chunks);
  for (std::size_t i = 0; i < chunks; ++i) {
    Digest const digest = in.digest();
    std::uint32_t const size = in.number32();
    head.chunks.push_back({digest, size});
  }
  std::vector<bool> placed(chunks);
  for (std::size_t i = 0; i < packs; ++i) head.packs.push_back(read_pack(in, head.chunks, placed));
  if (!in.at_end()) throw_corrupt("it is too long");
  if (std::ranges::find(placed, false) != placed.end()) throw_corrupt("a chunk is in no pack");
  return head;
}

/// The index's tar, a bounded piece at a time.
class TreeIndexReader::Unpacked {
 public:
  explicit Unpacked(Source source)
      : source_(std::move(source)),
        inflate_({.output_bytes_max = kUnpackedBytesMax}, [this](std::span<const std::byte> data) {
          buffer_.insert(buffer_.end(), data.begin(), data.end());
        }) {}

  std::span<const std::byte> next() {
    buffer_.clear();
    while (buffer_.empty() && !ended_) {
      std::span<const std::byte> const piece = source_(kPieceBytes);
      ended_ = piece.empty();
      if (ended_) {
        inflate_.finish();
      } else {
        inflate_.write(piece);
      }
    }
    return buffer_;
  }

 private:
  Source source_;
  std::vector<std::byte> buffer_;
  bool ended_ = false;
  InflateStream inflate_;
};

TreeIndexReader::TreeIndexReader(Source source)
    : unpacked_(std::make_unique<Unpacked>(std::move(source))),
      tar_([this] { return unpacked_->next(); }, {.entries_max = 2 * kTreeEntriesMax}),
      head_{.tree = Digest(Digest::Bytes{}), .chunks = {}, .packs = {}} {
  TarEntry entry;
  if (!tar_.next(entry) || entry.name != kHeadName || entry.is_sparse) throw_corrupt("it has no head");
  if (entry.size > kHeadBytesMax) throw_corrupt("its head is too long");
  std::string bytes;
  bytes.reserve(std::min<std::size_t>(static_cast<std::size_t>(entry.size), kHeadReserve));
  for (TarData data = tar_.read(); !data.bytes.empty(); data = tar_.read()) {
    bytes.append(reinterpret_cast<const char*>(data.bytes.data()), data.bytes.size());
  }
  head_ = parse_tree_head(bytes);
}

TreeIndexReader::~TreeIndexReader() = default;

bool TreeIndexReader::next(TarEntry& entry, std::vector<std::uint32_t>& chunks) {
  chunks.clear();
  if (!tar_.next(entry)) return false;
  if (entry.is_sparse || entry.size % 4 != 0) throw_corrupt("/" + entry.name + " is no list of chunks");
  if (entry.size / 4 > kTreeChunksMax) throw_corrupt("/" + entry.name + " has too many chunks");
  std::uint64_t size = 0;
  std::uint32_t number = 0;
  std::uint64_t seen = 0;
  for (TarData data = tar_.read(); !data.bytes.empty(); data = tar_.read()) {
    for (std::byte const byte : data.bytes) {
      number |= std::to_integer<std::uint32_t>(byte) << 8 * (seen % 4);
      if (++seen % 4 != 0) continue;
      if (number >= head_.chunks.size()) throw_corrupt("/" + entry.name + " has a chunk that there is not");
      size += head_.chunks[number].size;
      chunks.push_back(std::exchange(number, 0));
    }
  }
  entry.size = size;
  return true;
}

TreeIndexReader::Source read_index_file(int fd) {
  auto buffer = std::make_shared<std::array<std::byte, kPieceBytes>>();
  auto at = std::make_shared<off_t>(0);
  return [fd, buffer, at](std::size_t bytes_max) -> std::span<const std::byte> {
    ssize_t count = 0;
    do {
      count = ::pread(fd, buffer->data(), std::min(bytes_max, buffer->size()), *at);
    } while (count < 0 && errno == EINTR);
    if (count < 0) throw Error::from_errno(errno, "read an index");
    *at += count;
    return std::span(*buffer).first(static_cast<std::size_t>(count));
  };
}

}  // namespace cobuild::oci
