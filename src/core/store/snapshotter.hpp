#pragma once

/// From stacked layer directories to one tree of files, and back to a layer.
///
/// Two ways: overlayfs (with `userxattr`, also as root, so that root's and a user's store have one
/// format), and copying where overlayfs is not to be had. A layer directory has overlay's form
/// either way: a whiteout is a character device 0/0, an opaque directory carries
/// user.overlay.opaque=y.

#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/async/task.hpp"
#include "core/store/store.hpp"
#include "core/store/types.hpp"

namespace cobuild::store {

/// A tree that can be read, or read and written, until this object goes. Unmounting is silent in
/// the destructor (lazy), and throws in close().
class View {
 public:
  virtual ~View() = default;
  [[nodiscard]] virtual const std::filesystem::path& path() const = 0;
  /// Unmounts. After it, a writable view's changes are in its NewLayer's fs(), in overlay's form.
  /// May take long in copying mode: call it on the pool.
  virtual void close() = 0;
};

class Snapshotter {
 public:
  virtual ~Snapshotter() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;  ///< "overlayfs" or "native".

  /// The merged tree of `lowers` (layer directories, lowest first; empty: an empty tree),
  /// read-only. Blocking: call on the pool. More lowers than one mount takes are stacked in steps.
  [[nodiscard]] virtual std::unique_ptr<View> view(std::vector<std::filesystem::path> lowers) = 0;

  /// The same, with changes going to `upper`, which must outlive the view. Blocking.
  [[nodiscard]] virtual std::unique_ptr<View> edit(std::vector<std::filesystem::path> lowers,
                                                   const NewLayer& upper) = 0;
};

/// The best snapshotter that works here, found by doing: `overlayfs` if a mount with userxattr
/// succeeds on the store's file system, else `native`. `wanted` ("auto", "overlayfs", "native") may
/// insist. \throws Error kUnsupported when what was insisted on does not work, with the kernel's
/// reason. `mounts` is a directory of this process for mount points.
[[nodiscard]] std::unique_ptr<Snapshotter> make_snapshotter(std::filesystem::path store_root,
                                                            std::string_view wanted = "auto");

}  // namespace cobuild::store
