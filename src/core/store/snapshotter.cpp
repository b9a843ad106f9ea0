#include "core/store/snapshotter.hpp"

#include <filesystem>
#include <optional>
#include <string>

#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/store/snapshotter_native.hpp"
#include "core/store/snapshotter_overlay.hpp"
#include "core/sys/mount_api.hpp"

namespace cobuild::store {
namespace {

constexpr const char* kMounts = "mounts";

/// What the kernel says against an overlay with its upper on the file system of `parent`; nullopt
/// when one could be mounted.
std::optional<std::string> overlay_refusal(const std::filesystem::path& parent) {
  ScratchDirectory const trial = ScratchDirectory::create_on_disk(parent);
  for (const char* name : {"lower", "upper", "work", "target"}) {
    std::filesystem::create_directory(trial.path() / name);
  }
  OverlayOptions options;
  options.lowers = {trial.path() / "lower"};
  options.upper = trial.path() / "upper";
  options.work = trial.path() / "work";
  try {
    mount_overlay(options, trial.path() / "target").unmount();
    return std::nullopt;
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

std::unique_ptr<Snapshotter> make_snapshotter(std::filesystem::path store_root,
                                              std::string_view wanted) {
  Timings::Span const span(Phase::kMount);
  std::filesystem::path const mounts = store_root / kMounts;
  if (wanted != "auto" && wanted != "overlayfs" && wanted != "native") {
    throw Error(ErrorKind::kInvalidInput, "snapshotter \"" + std::string(wanted) +
                                              "\" is not known: use auto, overlayfs or native");
  }
  if (wanted != "native") {
    auto const refusal = overlay_refusal(mounts);
    if (!refusal) return std::make_unique<OverlaySnapshotter>(ScratchDirectory::create(mounts));
    if (wanted == "overlayfs") {
      throw Error(ErrorKind::kUnsupported, "snapshotter overlayfs does not work for " +
                                               store_root.string() + ": " + *refusal);
    }
  }
  return std::make_unique<NativeSnapshotter>(ScratchDirectory::create_on_disk(mounts));
}

}  // namespace cobuild::store
