#pragma once

/// Packs: which chunks go to new ones, which old ones are worth keeping, and writing them.

#include <boost/asio/thread_pool.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <set>
#include <vector>

#include "oci/tree_index.hpp"
#include "oci/tree_scan.hpp"

namespace cobuild::oci {

/// What becomes of a tree's chunks.
struct PackPlan {
  std::vector<TreePack> kept;  ///< Packs that are there, with the tree's numbers in them.
  std::vector<std::vector<std::uint32_t>> fresh;  ///< The chunks of each pack that is to be written.

  /// Of the chunks that are to be written.
  [[nodiscard]] std::uint64_t fresh_bytes(const ScannedTree& tree) const;
};

/// Chunks that an earlier tree, `base`, has in packs that are still there are left where they are.
/// Packs of which the tree uses less than half are given up, and so are the smallest ones when there
/// are more than some tens; what it still uses of them is written anew. So what is stored for a tree
/// stays within about twice its size, however often it changes. Pure. `base` may be null.
[[nodiscard]] PackPlan plan_packs(const ScannedTree& tree, const TreeHead* base,
                                  const std::set<Digest>& missing_packs);

struct PackOptions {
  asio::thread_pool* pool = nullptr;  ///< Threads that may help; \see DeflateStream::Options::pool.
  /// Called after each chunk; what it throws ends the writing. May be empty.
  std::function<void()> after_chunk = {};
};

/// Writes the pack of `chunks`, which are read from `directory` once more, to `out_fd`. Blocking.
/// \throws Error kInternal when a file is not as it was scanned; kUnavailable for a full disk.
[[nodiscard]] TreePack write_pack(const std::filesystem::path& directory, const ScannedTree& tree,
                                  const std::vector<std::uint32_t>& chunks,
                                  const PackOptions& options, int out_fd);

/// Writes the whole index to `out_fd`: the head, and then what scan_tree wrote to `tree_fd`. Returns
/// its digest and size. Blocking.
struct WrittenIndex {
  Digest digest;
  std::uint64_t bytes;
};
[[nodiscard]] WrittenIndex write_index(const TreeHead& head, int tree_fd, int out_fd);

}  // namespace cobuild::oci
