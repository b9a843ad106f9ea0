#pragma once

/// ADD of an archive: its files instead of itself (F1.7.19).

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>

#include "ops/copy_target.hpp"
#include "ops/file_tree.hpp"

namespace cobuild::ops {

struct UnpackOptions {
  std::optional<Owner> owner;    ///< Of every entry; else the archive's owners.
  std::optional<timespec> time;  ///< Of the destination, if it is made.
  const std::atomic<bool>* stop = nullptr;
};

/// Bounds of what an archive may do.
inline constexpr std::size_t kArchiveEntriesMax = 16'000'000;
inline constexpr std::size_t kArchivePathMax = 4096;

/// Whether `entry` is a tar archive by its content: plain, or through gzip, bzip2, xz or zstd.
/// Reads the first header. Anything that cannot be read as one is not one, but for what is
/// compressed, damaged near its start, and shows by its first header or by its name that it is one:
/// that is for unpack_archive to fail with. Blocking.
[[nodiscard]] bool is_archive(const FileTree& tree, const FileTree::Entry& entry);

/// Unpacks the archive into the directory `destination`, which is made when missing. Entries
/// replace what is there, but for directories, which are merged. Nothing is written outside of
/// `destination`, whatever names, links and hard links say: it is their root. Device files that may
/// not be made (in a user namespace) are left out. Blocking. \throws Error kCorrupt for a broken
/// archive.
void unpack_archive(const FileTree& tree, const FileTree::Entry& entry, const TargetRoot& target,
                    const std::string& destination, const UnpackOptions& options);

/// When the newest regular file of the tar archive in `fd` was modified, in whole seconds since
/// 1970; nullopt when it has none, or is no such archive. Moves the file offset. Blocking.
[[nodiscard]] std::optional<std::int64_t> newest_file_time(int fd, const std::atomic<bool>* stop);

}  // namespace cobuild::ops
