#pragma once

/// Views by copying, where overlayfs is not to be had. Private to core/store and its tests.

#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "core/store/snapshotter.hpp"
#include "core/sys/mount_api.hpp"

namespace cobuild::store {

class NativeSnapshotter final : public Snapshotter {
 public:
  /// `copies`: a directory on the store's file system, so that a copy can share its blocks.
  explicit NativeSnapshotter(ScratchDirectory copies) : copies_(std::move(copies)) {}

  [[nodiscard]] std::string_view name() const override { return "native"; }
  [[nodiscard]] std::unique_ptr<View> view(std::vector<std::filesystem::path> lowers) override;
  [[nodiscard]] std::unique_ptr<View> edit(std::vector<std::filesystem::path> lowers,
                                           const NewLayer& upper) override;

  /// As above, with the directory of the new layer by name.
  [[nodiscard]] std::unique_ptr<View> edit(std::vector<std::filesystem::path> lowers,
                                           const std::filesystem::path& upper);

 private:
  ScratchDirectory copies_;
};

}  // namespace cobuild::store
