#pragma once

/// Which files an op reads of an input, in few bytes: so that a later build can say which of them
/// are others. Plain values; nothing here is part of a key.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"

namespace cobuild::solve {

/// One entry. Of numbers that need more room only the low bits are kept: they are compared, and
/// nothing else.
struct ListedFile {
  std::string path;          ///< From the input's root, without a leading slash; empty: the root.
  std::uint16_t mode = 0;    ///< Type and permission bits.
  std::uint32_t size = 0;    ///< Bytes; 0 of directories.
  std::uint32_t time = 0;    ///< When it was modified, nanoseconds; 0 of directories.
  std::uint32_t digest = 0;  ///< 0 of directories whose entries are listed.
  bool whole = false;        ///< A directory that stands for all below it.
  friend bool operator==(const ListedFile&, const ListedFile&) = default;
};

struct FileList {
  std::vector<ListedFile> files;  ///< Sorted by path bytewise, each once.
  bool complete = true;           ///< False: there were more.
  friend bool operator==(const FileList&, const FileList&) = default;
};

/// Entries of one list: what is below further directories is summed up.
inline constexpr std::size_t kListedFilesMax = 10'000;
/// Of an encoded list; what does not fit is left out, and the list not complete.
inline constexpr std::size_t kFileListBytesMax = 256 << 10;

/// About 25 bytes for each file.
[[nodiscard]] std::string encode(const FileList& list);
/// Nullopt for what encode() cannot have made.
[[nodiscard]] std::optional<FileList> decode_file_list(std::string_view text);

/// The name of the note about a layer that has the list of what a content digest is of.
[[nodiscard]] std::string file_list_note(const Digest& content);

enum class FileChangeKind {
  kAdded,
  kRemoved,
  kContent,
  kMode,
  kModeAndMore,  ///< The mode, and perhaps the content: its size or time is another.
  kType,         ///< A directory where a file was, or the like.
  kAttributes,   ///< The owner, or extended attributes.
  kBelow,        ///< Something below a directory that is summed up.
};

struct FileChange {
  FileChangeKind kind = FileChangeKind::kContent;
  std::string path;
  std::uint16_t mode_before = 0;  ///< Permission bits; set for kMode and kModeAndMore.
  std::uint16_t mode = 0;
  friend bool operator==(const FileChange&, const FileChange&) = default;
};

/// What is different in `now`, by path. Of a directory that came or went only itself is told; of
/// incomplete lists, what is in both ranges.
[[nodiscard]] std::vector<FileChange> compare(const FileList& before, const FileList& now);

}  // namespace cobuild::solve
