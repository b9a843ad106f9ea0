#pragma once

/// A layer directory becomes a layer's blob.
///
/// The tar is byte for byte what BuildKit writes for the same files (F4.5.15, F10.80 to F10.84):
/// walk order, whole seconds, no names of users, only security.capability among the xattrs, sockets
/// left out, parents before what is in them, deletions as `.wh.` entries, opaque directories as
/// explicit deletions, and no entry for what is the same as below (F1.6.25, F10.19). Hence the
/// diff ID is BuildKit's. The compressed bytes are ours.

#include <boost/asio/thread_pool.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"
#include "oci/compression.hpp"

namespace cobuild::oci {

struct DiffOptions {
  /// Later modification times become this one (F4.6.2, `rewrite-timestamp`). Whiteouts have time 0.
  std::optional<Timestamp> mtime_max;
};

/// Writes the tar of the changes in `layer_dirs` to `out`, in pieces of at most 1 MiB: one layer, or
/// several that become one, lowest first. `lower_dirs` are the layer directories below, lowest first:
/// what they hold decides whether a whiteout means anything and whether a file differs. The directories must not change meanwhile. Blocks; for a
/// pool thread.
/// \throws Error kInternal when a file changes size while it is read; kUnsupported for overlay's
/// redirected directories.
void write_layer_tar(const std::vector<std::filesystem::path>& layer_dirs,
                     const std::vector<std::filesystem::path>& lower_dirs,
                     const DiffOptions& options, const ByteFn& out);

struct SealOptions {
  DiffOptions diff;
  Compression compression = Compression::kGzip;
  std::optional<int> level;
  /// gzip that can be read file by file; \see StargzWriter. The compression does not matter.
  bool stargz = false;
  bool hash_source = false;  ///< For repack_layer().
  /// Threads that may help to compress; \see DeflateStream::Options::pool.
  asio::thread_pool* pool = nullptr;
  /// Called after each piece of the tar, at most 1 MiB, by the thread that packs; what it throws
  /// ends the packing. May be empty.
  std::function<void()> after_piece = {};
};

/// A layer as a manifest and a config name it.
struct SealedLayer {
  DiffId diff_id;
  DiffId source_diff_id;  ///< repack_layer(): of the tar that was repacked; the same but for eStargz.
  BlobDigest blob_digest;
  std::int64_t blob_bytes = 0;
  std::int64_t tar_bytes = 0;
  std::map<std::string, std::string> annotations;  ///< What a manifest must say of an eStargz (F4.5.14).
};

/// Writes the blob of `layer_dirs` to `out_fd`, at its current position, in one pass: tar, diff ID,
/// compression and digest. Blocks; for a pool thread. `out_fd` stays the caller's.
/// \throws Error as write_layer_tar; kUnavailable for a full disk, naming it.
[[nodiscard]] SealedLayer seal_layer(const std::vector<std::filesystem::path>& layer_dirs,
                                     const std::vector<std::filesystem::path>& lower_dirs,
                                     const SealOptions& options, int out_fd);

/// The same for a layer that is a blob already, open at its beginning as `blob_fd`: its tar is kept
/// as it is, and so its diff ID, but for what eStargz adds. `options.diff` does not matter.
/// \throws Error kCorrupt when the blob does not unpack; kUnavailable for a full disk.
[[nodiscard]] SealedLayer repack_layer(int blob_fd, SealOptions options, int out_fd);

}  // namespace cobuild::oci
