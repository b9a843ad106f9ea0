#include "oci/tree_unpack.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/units.hpp"
#include "oci/chunker.hpp"
#include "oci/layer_writer.hpp"

namespace cobuild::oci {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;

[[noreturn]] void throw_too_large(std::uint64_t bytes_max) {
  throw Error(ErrorKind::kUnsupported, "its files have more than " +
                                           format_bytes(static_cast<std::int64_t>(bytes_max)) +
                                           ": raise it with max-size=SIZE");
}

TarHeader to_header(const TarEntry& entry) {
  TarHeader header{.name = entry.name,
                   .link_name = entry.link_name,
                   .type = entry.type,
                   .mode = entry.mode,
                   .uid = entry.uid,
                   .gid = entry.gid,
                   .size = static_cast<std::int64_t>(entry.size),
                   .mtime = entry.mtime,
                   .device_major = entry.device_major,
                   .device_minor = entry.device_minor};
  for (const auto& [key, value] : entry.xattrs) header.records["SCHILY.xattr." + key] = value;
  if (entry.mtime_ns != 0 && entry.mtime >= 0) {
    std::array<char, 16> fraction{};
    std::snprintf(fraction.data(), fraction.size(), ".%09u", entry.mtime_ns);
    header.records["mtime"] = std::to_string(entry.mtime) + fraction.data();
  }
  return header;
}

/// The tree's tar, with the files' contents in place of their chunks' numbers.
class TreeTar {
 public:
  TreeTar(TreeIndexReader& index, const ChunkFile& chunks, const TreeUnpackOptions& options)
      : index_(index), chunks_(chunks), options_(options) {}

  std::span<const std::byte> next() {
    if (options_.after_piece) options_.after_piece();
    if (at_ < numbers_.size()) {
      chunks_.read(numbers_[at_++], buffer_);
      if (at_ == numbers_.size()) buffer_.resize(buffer_.size() + tar_padding(entry_.size));
      return buffer_;
    }
    at_ = 0;
    if (ended_) return {};
    ended_ = !index_.next(entry_, numbers_);
    if (ended_) return std::as_bytes(std::span(tar_end()));
    bytes_ += entry_.size;
    if (bytes_ > options_.bytes_max) throw_too_large(options_.bytes_max);
    header_ = format_tar_header(to_header(entry_));
    return std::as_bytes(std::span(header_));
  }

 private:
  TreeIndexReader& index_;
  const ChunkFile& chunks_;
  const TreeUnpackOptions& options_;
  TarEntry entry_;
  std::vector<std::uint32_t> numbers_;
  std::size_t at_ = 0;  ///< The next of `numbers_`.
  std::string header_;
  std::vector<std::byte> buffer_;
  std::uint64_t bytes_ = 0;
  bool ended_ = false;
};

/// Takes a pack's unpacked bytes apart.
class PackTaker {
 public:
  PackTaker(const TreePack& pack, const TreeHead& head, const std::vector<std::uint64_t>& offsets,
            int fd)
      : pack_(pack), head_(head), offsets_(offsets), fd_(fd) {}

  void write(std::span<const std::byte> data) {
    while (!data.empty()) {
      if (at_ == pack_.records.size()) throw Error(ErrorKind::kCorrupt, "a pack is too long");
      std::size_t const wanted = pack_.records[at_].size - buffer_.size();
      auto const part = data.first(std::min(wanted, data.size()));
      buffer_.insert(buffer_.end(), part.begin(), part.end());
      data = data.subspan(part.size());
      if (part.size() == wanted) finish_chunk();
    }
  }

  void finish() const {
    if (at_ != pack_.records.size()) throw Error(ErrorKind::kCorrupt, "a pack is cut short");
  }

 private:
  void finish_chunk() {
    TreePack::Record const record = pack_.records[at_++];
    if (record.chunk != kDeadChunk) {
      if (Digest::of(std::span<const std::byte>(buffer_)) != head_.chunks[record.chunk].digest) {
        throw Error(ErrorKind::kCorrupt, "a chunk in a pack has not the digest that it should have");
      }
      store(offsets_[record.chunk]);
    }
    buffer_.clear();
  }

  void store(std::uint64_t offset) const {
    for (std::size_t done = 0; done < buffer_.size();) {
      ssize_t const count = ::pwrite(fd_, buffer_.data() + done, buffer_.size() - done,
                                     static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw Error::from_errno(errno, "write chunks");
      done += static_cast<std::size_t>(count);
    }
  }

  const TreePack& pack_;
  const TreeHead& head_;
  const std::vector<std::uint64_t>& offsets_;
  int fd_;
  std::size_t at_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace

ChunkFile::ChunkFile(const TreeHead& head, UniqueFd file, std::uint64_t bytes_max)
    : head_(head), file_(std::move(file)) {
  std::uint64_t offset = 0;
  offsets_.reserve(head.chunks.size());
  for (const TreeChunk& chunk : head.chunks) {
    offsets_.push_back(offset);
    offset += chunk.size;
  }
  if (offset > bytes_max) throw_too_large(bytes_max);
}

void ChunkFile::add_pack(const TreePack& pack, int pack_fd) const {
  PackTaker taker(pack, head_, offsets_, file_.get());
  InflateStream inflate({.output_bytes_max = pack.raw_bytes()},
                        [&taker](std::span<const std::byte> data) { taker.write(data); });
  std::vector<std::byte> buffer(kReadBytes);
  for (off_t offset = 0;;) {
    ssize_t const count = ::pread(pack_fd, buffer.data(), buffer.size(), offset);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error::from_errno(errno, "read a pack");
    if (count == 0) break;
    inflate.write(std::span(buffer).first(static_cast<std::size_t>(count)));
    offset += count;
  }
  inflate.finish();
  taker.finish();
}

void ChunkFile::read(std::uint32_t chunk, std::vector<std::byte>& buffer) const {
  buffer.resize(head_.chunks[chunk].size);
  for (std::size_t done = 0; done < buffer.size();) {
    ssize_t const count = ::pread(file_.get(), buffer.data() + done, buffer.size() - done,
                                  static_cast<off_t>(offsets_[chunk] + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error::from_errno(errno, "read chunks");
    if (count == 0) throw Error(ErrorKind::kInternal, "a chunk is read before its pack was taken");
    done += static_cast<std::size_t>(count);
  }
}

std::vector<std::string> unpack_tree(TreeIndexReader& index, const ChunkFile& chunks,
                                     const std::filesystem::path& directory,
                                     const TreeUnpackOptions& options) {
  TreeTar tree(index, chunks, options);
  TarReader tar([&tree] { return tree.next(); }, {.entries_max = 2 * kTreeEntriesMax});
  return LayerWriter(directory, {}, LayerWriter::Meaning::kPlain).write(tar).warnings;
}

}  // namespace cobuild::oci
