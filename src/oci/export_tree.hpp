#pragma once

/// Trees of files out of the build: `--output type=local` and `type=tar` (F4.4).
///
/// Blocking functions for a pool thread. They read a tree that is mounted, or a plain directory.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/go_time.hpp"
#include "oci/export_image.hpp"

namespace cobuild::oci {

/// One tree of the result.
struct ExportTree {
  std::filesystem::path root;  ///< Empty for an empty result (F4.4.7).
  std::string platform;        ///< "linux/arm/v7"; may be empty where there is only one tree.
};

struct TreeExportOptions {
  std::optional<Timestamp> epoch;  ///< Every modification time becomes this one (F4.6.4).
  enum class Mode {
    kCopy,   ///< What is in the destination and not in the tree stays.
    kDelete  ///< It is removed.
  } mode = Mode::kCopy;
  /// Each tree goes to a directory named for its platform, linux_arm_v7 (F4.4.3). A result that is
  /// no map is not split; a map is, unless `platform-split=false` said otherwise, in archives
  /// always.
  bool split_platforms = false;
};

/// Merges the trees into `directory`, which is made, with mode 0700, if it is missing. Files belong
/// to whoever runs this; modes and times are the tree's. Contents are shared where the file system
/// can (reflink), else copied by the kernel. Nothing outside of `directory` is touched, whatever
/// symlinks there are in it or in the tree. When it throws, what it had made is gone again; files
/// that it had replaced are not as they were.
/// \throws Error kInvalidInput "cannot overwrite P from A with B when split option is disabled".
void write_tree_directory(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                          const std::filesystem::path& directory,
                          const ExportProgress& progress = {});

/// Writes the trees as one tar to `out_fd`, or to `path` (whole or not at all).
void write_tree_archive(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                        int out_fd, const ExportProgress& progress = {});
void write_tree_archive(const std::vector<ExportTree>& trees, const TreeExportOptions& options,
                        const std::filesystem::path& path, const ExportProgress& progress = {});

}  // namespace cobuild::oci
