#pragma once

/// Views by overlayfs. Private to core/store and its tests.

#include <atomic>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "core/store/snapshotter.hpp"
#include "core/sys/mount_api.hpp"

namespace cobuild::store {

/// More layers than this do not fit: one overlay of kOverlayLowersMax, used as the lowest of
/// another.
inline constexpr std::size_t kOverlayLayersMax = 2 * kOverlayLowersMax - 1;

class OverlaySnapshotter final : public Snapshotter {
 public:
  /// `mounts`: where mount points go.
  explicit OverlaySnapshotter(ScratchDirectory mounts);

  [[nodiscard]] std::string_view name() const override { return "overlayfs"; }
  [[nodiscard]] std::unique_ptr<View> view(std::vector<std::filesystem::path> lowers) override;
  [[nodiscard]] std::unique_ptr<View> edit(std::vector<std::filesystem::path> lowers,
                                           const NewLayer& upper) override;

  /// As above, with the directories of the new layer by name.
  [[nodiscard]] std::unique_ptr<View> edit(std::vector<std::filesystem::path> lowers,
                                           const std::filesystem::path& upper,
                                           const std::filesystem::path& work);

 private:
  [[nodiscard]] std::filesystem::path new_mount_point();
  [[nodiscard]] std::unique_ptr<View> mount(std::vector<std::filesystem::path> lowers,
                                            OverlayOptions options);

  ScratchDirectory mounts_;
  std::filesystem::path empty_;
  std::atomic<unsigned> next_ = 0;  ///< Views are made on the pool, several at once.
};

}  // namespace cobuild::store
