#pragma once

/// A layer's blob becomes a layer directory.
///
/// A pipeline of three threads for each layer: inflate, hash, write files; what feeds it (a
/// download) is the fourth stage, on the loop. The queues between them are short, so memory stays
/// bounded and a slow disk slows the download. The threads are the pipeline's own: a stage waits
/// for its neighbour, and a pool thread that waits for another job of its pool may wait forever.
///
/// The directory is written as an overlay lower directory that does not know what is below it.
/// Hence two things are left to complete_layer(), which runs once the layers below are here.

#include <boost/asio/any_io_executor.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "oci/content.hpp"

namespace cobuild::oci {

/// Bounds of what a foreign tar may do. Beyond one: Error kCorrupt that names it.
struct ApplyLimits {
  std::uint64_t tar_bytes_max = std::uint64_t{1} << 40;  ///< Of the unpacked stream: 1 TiB.
  std::uint64_t entries_max = 16'000'000;
  std::size_t path_bytes_max = 4096;        ///< A whole path, and a link's target.
  std::size_t pax_bytes_max = 1024 * 1024;  ///< One extended header.
  std::size_t xattr_bytes_max = 64 * 1024;  ///< One value: what Linux takes.
  std::size_t warnings_max = 32;            ///< Later ones are dropped.
};

struct ApplyOptions {
  /// Of the whole unpacked stream; finish() throws kCorrupt when it is another.
  std::optional<DiffId> expected_diff_id;
  ApplyLimits limits;
};

/// A hard link to a file that this layer does not bring: it must be in a layer below.
struct DeferredLink {
  std::string path;    ///< The new name. Relative, clean.
  std::string target;  ///< What it is another name of. Relative, clean.
};

struct AppliedLayer {
  explicit AppliedLayer(DiffId id) noexcept : diff_id(id) {}

  DiffId diff_id;
  std::uint64_t tar_bytes = 0;   ///< Of the unpacked stream.
  std::uint64_t file_bytes = 0;  ///< Of the files' contents.
  std::uint64_t entries = 0;
  /// Directories that the tar uses and does not describe: made here with mode 0755, owner 0:0 and
  /// time 0. If there is such a directory below, its metadata must be taken from there.
  std::vector<std::string> implicit_dirs;
  std::vector<DeferredLink> deferred_links;
  /// The layer hides everything below it, which overlayfs does not take from the xattr of a root.
  bool has_opaque_root = false;
  /// What was left out, for the user: devices in a user namespace, xattrs that the file system
  /// does not take. At most ApplyLimits::warnings_max.
  std::vector<std::string> warnings;

  /// Whether complete_layer() has anything to do.
  [[nodiscard]] bool is_complete() const noexcept {
    return implicit_dirs.empty() && deferred_links.empty() && !has_opaque_root;
  }
};

/// Unpacks one layer. Lives on the loop.
///
/// What it refuses, with Error kCorrupt that names the entry: names with `..` that climb out of the
/// layer, hard links out of it or to directories, whiteouts of nothing, whatever is beyond the
/// limits, streams that end early. Absolute names are taken beneath the layer; symlinks on the way
/// to an entry are followed beneath the layer, never out of it.
/// What fails in the file system throws with the path; chown to an id that the user namespace does
/// not have says how to get more (F8.2.7).
class LayerApplier final : public BlobSink {
 public:
  /// Starts the threads. `layer_dir` exists and is empty; after a failure its contents are
  /// unspecified, and the caller removes it. The coroutines below run on `loop`.
  LayerApplier(asio::any_io_executor loop, std::filesystem::path layer_dir,
               ApplyOptions options = {});
  LayerApplier(const LayerApplier&) = delete;
  LayerApplier& operator=(const LayerApplier&) = delete;

  /// Stops the threads and waits for them: milliseconds.
  ~LayerApplier() override;

  /// Hands over the next bytes of the blob, compressed or not; suspends while the queue is full.
  /// `chunk` must stay valid until the task is done. Cancellable.
  /// \throws Error what went wrong in the pipeline, as soon as it is known.
  Task<void> write(std::span<const std::byte> chunk) override;

  /// Says that the blob is whole, and waits until its files are. Cancellable. Once only.
  /// \throws Error as above; kCorrupt for a wrong diff ID.
  Task<AppliedLayer> finish();

 private:
  class Pipeline;
  std::shared_ptr<Pipeline> pipeline_;
};

/// The same from a file, without coroutines. Blocks; for a pool thread. `blob_fd` is read from
/// offset 0 and stays the caller's.
[[nodiscard]] AppliedLayer apply_layer(int blob_fd, const std::filesystem::path& layer_dir,
                                       const ApplyOptions& options = {});

/// Does what could not be done without the layers below, given as directories, lowest first:
/// implicit directories get the owner, mode, xattrs and times of those below them, deferred links
/// are made, by copying the file up and linking to it, and an opaque root becomes whiteouts.
/// Blocks; for a pool thread. Idempotent.
/// \throws Error kCorrupt when a link's target is in no layer.
void complete_layer(const std::filesystem::path& layer_dir,
                    const std::vector<std::filesystem::path>& lower_dirs,
                    const AppliedLayer& applied);

}  // namespace cobuild::oci
