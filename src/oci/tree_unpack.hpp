#pragma once

/// A tree of files out of its index and its packs. All of it is foreign: chunks are checked against
/// their digests, files are written by LayerWriter, and nothing grows beyond the given bounds.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/sys/fs.hpp"
#include "oci/tree_index.hpp"

namespace cobuild::oci {

/// The chunks of a tree in one file, while the tree is being made.
class ChunkFile {
 public:
  /// `file` is empty, open for reading and writing, and nobody else's. \throws Error kUnsupported
  /// when the chunks have more than `bytes_max`.
  ChunkFile(const TreeHead& head, UniqueFd file, std::uint64_t bytes_max);

  /// Takes the chunks of one pack, open at `pack_fd` and read from its beginning. May be called for
  /// several packs at the same time. Blocking. \throws Error kCorrupt when it is not that pack.
  void add_pack(const TreePack& pack, int pack_fd) const;

  /// The bytes of a chunk, into `buffer`. \throws Error.
  void read(std::uint32_t chunk, std::vector<std::byte>& buffer) const;

 private:
  const TreeHead& head_;
  UniqueFd file_;
  std::vector<std::uint64_t> offsets_;
};

struct TreeUnpackOptions {
  std::uint64_t bytes_max = 0;  ///< Of all files' contents.
  /// Called between pieces of at most kCutBytesMax; what it throws ends the work. May be empty.
  std::function<void()> after_piece = {};
};

/// Makes the tree in `directory`, which exists and is empty; its own metadata are the tree's, too.
/// After a failure its contents are unspecified. Blocking. Returns what was left out, for the user.
/// \throws Error kCorrupt; kUnsupported beyond the options; what fails in the file system.
std::vector<std::string> unpack_tree(TreeIndexReader& index, const ChunkFile& chunks,
                                     const std::filesystem::path& directory,
                                     const TreeUnpackOptions& options);

}  // namespace cobuild::oci
