#pragma once

/// The index of a tree of files that is kept elsewhere as chunks in packs.
///
/// A pack is a zstd stream of chunks, one after the other. The index is the tree as a tar archive,
/// packed with zstd, in which a regular file's contents are the numbers of its chunks; before the
/// tree comes one entry, kHeadName, with the head: which chunks there are and where. Numbers are
/// little-endian.
///
///     head   digest of the tree, chunk count u32, pack count u32, chunks, packs
///     chunk  digest (32 bytes), size u32
///     pack   digest of the object (32), its size u64, record count u32, records
///     record chunk number u32 (kDeadChunk: one that the tree no longer has), size u32
///
/// Indexes come from elsewhere: whatever is beyond the bounds below is refused.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/sys/fs.hpp"
#include "oci/compression.hpp"
#include "oci/tar_reader.hpp"

namespace cobuild::oci {

inline constexpr std::string_view kHeadName = ".cobuild-tree-1";
inline constexpr std::uint32_t kDeadChunk = 0xffffffff;
inline constexpr std::size_t kTreeChunksMax = std::size_t{1} << 22;
inline constexpr std::size_t kTreePacksMax = 1024;
inline constexpr std::uint64_t kTreeEntriesMax = 4'000'000;
/// Of an index as it is stored: what kTreeChunksMax chunks and kTreeEntriesMax entries need at most.
inline constexpr std::uint64_t kTreeIndexBytesMax = std::uint64_t{512} << 20;

/// A piece of a file's contents, at most kCutBytesMax long.
struct TreeChunk {
  Digest digest;
  std::uint32_t size;
};

/// An object that holds chunks.
struct TreePack {
  struct Record {
    std::uint32_t chunk;  ///< Its number, or kDeadChunk.
    std::uint32_t size;
  };
  Digest digest;            ///< Of the object's bytes.
  std::uint64_t bytes = 0;  ///< Of the object.
  std::vector<Record> records;

  /// Of its chunks, before packing: of all of them, and of those that the tree has.
  [[nodiscard]] std::uint64_t raw_bytes() const noexcept;
  [[nodiscard]] std::uint64_t live_bytes() const noexcept;
};

struct TreeHead {
  Digest tree;  ///< The same for trees that do not differ in anything that is kept.
  std::vector<TreeChunk> chunks;
  std::vector<TreePack> packs;
};

/// The part of an index's tar that comes before the tree.
[[nodiscard]] std::string format_tree_head(const TreeHead& head);

/// The inverse, of the entry's contents. \throws Error kCorrupt: chunks that are in no pack or in
/// two, sizes that contradict each other, and whatever is beyond the bounds.
[[nodiscard]] TreeHead parse_tree_head(std::string_view bytes);

/// Numbers as a file's contents in the index.
void append_number(std::string& out, std::uint32_t number);

/// Reads an index. Blocking.
class TreeIndexReader {
 public:
  /// Gives the next bytes of the stored index, at most `bytes_max`; empty at its end. May throw.
  using Source = std::function<std::span<const std::byte>(std::size_t bytes_max)>;

  /// Reads the head. \throws Error kCorrupt.
  explicit TreeIndexReader(Source source);
  TreeIndexReader(const TreeIndexReader&) = delete;
  TreeIndexReader& operator=(const TreeIndexReader&) = delete;
  ~TreeIndexReader();

  [[nodiscard]] const TreeHead& head() const noexcept { return head_; }

  /// The next file of the tree, with its real size, and the numbers of its chunks. False at the end.
  /// \throws Error kCorrupt.
  [[nodiscard]] bool next(TarEntry& entry, std::vector<std::uint32_t>& chunks);

 private:
  class Unpacked;
  std::unique_ptr<Unpacked> unpacked_;
  TarReader tar_;
  TreeHead head_;
};

/// For an index in a file, read from its beginning. The reader must not outlive `fd`.
[[nodiscard]] TreeIndexReader::Source read_index_file(int fd);

}  // namespace cobuild::oci
