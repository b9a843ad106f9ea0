#pragma once

/// A tree of files, cut into chunks: what there is to keep of it.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/base/digest.hpp"
#include "oci/tree_index.hpp"

namespace cobuild::oci {

struct TreeScanOptions {
  std::uint64_t bytes_max = 0;  ///< Of all files' contents.
  /// Called after each file, by the thread that reads; what it throws ends the scan. May be empty.
  std::function<void()> after_file = {};
};

struct ScannedTree {
  /// Where a chunk can be read again.
  struct Place {
    std::uint32_t file;  ///< Index into `files`.
    std::uint64_t offset;
  };
  Digest digest;
  std::vector<TreeChunk> chunks;  ///< Each content once, in the order in which they were met.
  std::vector<Place> places;      ///< Of each chunk.
  std::vector<std::string> files;  ///< Paths of those that chunks are read from.
  std::uint64_t bytes = 0;         ///< Of all files' contents.
};

/// Reads all of `directory`, which must not change meanwhile, and writes what comes after the head in
/// its index to `index_fd`, packed: names, kinds, modes, owners, times, links, extended attributes.
/// Sockets are left out. Blocking.
/// \throws Error kUnsupported when there is more than the options or the bounds of an index allow.
[[nodiscard]] ScannedTree scan_tree(const std::filesystem::path& directory,
                                    const TreeScanOptions& options, int index_fd);

}  // namespace cobuild::oci
