#include "core/store/snapshotter_overlay.hpp"

#include <unistd.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/timings.hpp"

namespace cobuild::store {
namespace {

/// Mounts, the last one on top of the others, and the one directory to look at.
class MountedView final : public View {
 public:
  explicit MountedView(std::vector<Mount> mounts) : mounts_(std::move(mounts)) {
    path_ = mounts_.back().target();
  }
  ~MountedView() override {
    if (mounts_.empty()) return;
    Timings::Span const span(Phase::kMount);
    while (!mounts_.empty()) {
      std::filesystem::path const target = mounts_.back().target();
      mounts_.pop_back();
      ::rmdir(target.c_str());
    }
  }
  [[nodiscard]] const std::filesystem::path& path() const override { return path_; }

  void close() override {
    Timings::Span const span(Phase::kMount);
    while (!mounts_.empty()) {
      std::filesystem::path const target = mounts_.back().target();
      mounts_.back().unmount();
      mounts_.pop_back();
      ::rmdir(target.c_str());
    }
  }

 private:
  std::vector<Mount> mounts_;
  std::filesystem::path path_;
};

/// A directory that needs no mount.
class PlainView final : public View {
 public:
  explicit PlainView(std::filesystem::path path) : path_(std::move(path)) {}
  [[nodiscard]] const std::filesystem::path& path() const override { return path_; }
  void close() override {}

 private:
  std::filesystem::path path_;
};

/// Drops all but the highest of equal layers: overlayfs refuses them, and the lower ones show
/// nothing that the highest does not show.
std::vector<std::filesystem::path> without_repeats(std::vector<std::filesystem::path> lowers) {
  std::set<std::filesystem::path> seen;
  std::vector<std::filesystem::path> result;
  for (auto lower = lowers.rbegin(); lower != lowers.rend(); ++lower) {
    if (seen.insert(*lower).second) result.push_back(std::move(*lower));
  }
  std::reverse(result.begin(), result.end());
  return result;
}

}  // namespace

OverlaySnapshotter::OverlaySnapshotter(ScratchDirectory mounts)
    : mounts_(std::move(mounts)), empty_(mounts_.path() / "empty") {
  std::filesystem::create_directory(empty_);
}

std::unique_ptr<View> OverlaySnapshotter::view(std::vector<std::filesystem::path> lowers) {
  if (lowers.empty()) return std::make_unique<PlainView>(empty_);
  lowers = without_repeats(std::move(lowers));
  // A layer alone may hold whiteouts, which only overlayfs hides; and it takes two lowers at least.
  if (lowers.size() == 1) lowers.insert(lowers.begin(), empty_);
  return mount(std::move(lowers), {});
}

std::unique_ptr<View> OverlaySnapshotter::edit(std::vector<std::filesystem::path> lowers,
                                               const NewLayer& upper) {
  return edit(std::move(lowers), upper.fs(), upper.work());
}

std::unique_ptr<View> OverlaySnapshotter::edit(std::vector<std::filesystem::path> lowers,
                                               const std::filesystem::path& upper,
                                               const std::filesystem::path& work) {
  if (lowers.empty()) return std::make_unique<PlainView>(upper);
  OverlayOptions options;
  options.upper = upper;
  options.work = work;
  return mount(without_repeats(std::move(lowers)), std::move(options));
}

std::filesystem::path OverlaySnapshotter::new_mount_point() {
  std::filesystem::path point = mounts_.path() / std::to_string(next_++);
  std::filesystem::create_directory(point);
  return point;
}

std::unique_ptr<View> OverlaySnapshotter::mount(std::vector<std::filesystem::path> lowers,
                                                OverlayOptions options) {
  Timings::Span const span(Phase::kMount);
  if (lowers.size() > kOverlayLayersMax) {
    throw Error(ErrorKind::kUnsupported,
                "mount " + std::to_string(lowers.size()) + " layers: overlayfs takes at most " +
                    std::to_string(kOverlayLayersMax) + "; use --snapshotter native");
  }
  std::vector<Mount> mounts;
  if (lowers.size() > kOverlayLowersMax) {
    // Only the lowest ones may be merged beforehand: there is nothing below for their whiteouts.
    auto const end = lowers.begin() + kOverlayLowersMax;
    OverlayOptions lowest;
    lowest.lowers.assign(lowers.begin(), end);
    mounts.push_back(mount_overlay(lowest, new_mount_point()));
    lowers.erase(lowers.begin(), end);
    lowers.insert(lowers.begin(), mounts.back().target());
  }
  options.lowers = std::move(lowers);
  mounts.push_back(mount_overlay(options, new_mount_point()));
  return std::make_unique<MountedView>(std::move(mounts));
}

}  // namespace cobuild::store
