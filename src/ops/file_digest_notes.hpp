#pragma once

/// The digests of a local directory's files, remembered in the store from build to build.
///
/// One note for each directory (more for huge ones) holds a fixed record for each file: inode,
/// size, times, digest. A file whose record still agrees is not read again. As git does with its
/// index, a file that changed so recently that another change could carry the same time is not
/// remembered.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/store/store.hpp"
#include "ops/file_tree.hpp"

namespace cobuild::ops {

/// What identifies a state of a file, and its digest.
struct FileDigestRecord {
  std::uint64_t inode = 0;
  std::int64_t size = 0;
  std::int64_t modified_ns = 0;
  std::int64_t changed_ns = 0;
  Digest::Bytes digest{};

  /// Whether this is about `entry` as it is.
  [[nodiscard]] bool matches(const FileTree::Entry& entry) const noexcept;
};

/// A note's text: records sorted by inode, native byte order (the store is this machine's).
[[nodiscard]] std::string encode_records(const std::vector<FileDigestRecord>& records);
/// \throws nothing: a note that is no multiple of a record's size is as good as none.
[[nodiscard]] std::vector<FileDigestRecord> decode_records(std::string_view text);

/// Whether a file seen at `seen` with these times may be remembered: no later change can leave its
/// times as they are.
[[nodiscard]] bool is_settled(const FileTree::Entry& entry, const timespec& seen) noexcept;

/// The notes of one directory. Lives on the loop (the store does).
class DirectoryNotes {
 public:
  /// `directory`: whose files' digests these are.
  DirectoryNotes(store::Store& store, const FileTree::Entry& directory);

  [[nodiscard]] std::vector<FileDigestRecord> load() const;
  /// Replaces them. Sorts `records`.
  void save(std::vector<FileDigestRecord> records) const;

 private:
  [[nodiscard]] std::string key(std::size_t part) const;
  store::Store& store_;
  std::string key_;
};

}  // namespace cobuild::ops
