#pragma once

/// A tree of files to be read: hashed, copied from. Either a directory as it is (a mounted view),
/// or through the filters of a local source.
///
/// Entries are listed once and remembered with their stat data; an unfiltered tree is listed as it
/// is looked at, a filtered one at once. Everything blocks (call it on the pool). What lists belongs
/// to one thread at a time; what is const may be called by several at once, for entries that are
/// listed, as the threads that hash and copy do. Names are foreign: no link is ever followed by the kernel;
/// resolution is done here, inside the root.

#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::ops {

/// The filters of a local source (F2.2.14).
struct TreeFilter {
  std::vector<std::string> include_patterns;
  std::vector<std::string> exclude_patterns;
  /// Paths, maybe with wildcards, that are included together with what the links on them lead to.
  std::vector<std::string> follow_paths;
};

/// Since 1970.
[[nodiscard]] constexpr std::int64_t nanoseconds(const timespec& time) noexcept {
  return static_cast<std::int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

class FileTree {
 public:
  struct Entry {
    std::string name;  ///< Empty for the root.
    Entry* parent = nullptr;
    mode_t mode = 0;  ///< Type and permission bits.
    uid_t uid = 0;
    gid_t gid = 0;
    dev_t device = 0;   ///< The device it is on.
    dev_t special = 0;  ///< The device it is.
    ino_t inode = 0;
    nlink_t links = 0;
    std::int64_t size = 0;
    timespec modified{};
    timespec accessed{};
    timespec changed{};
    std::string link_target;  ///< Of a symbolic link.
    bool listed = false;
    std::vector<Entry*> entries;           ///< Sorted by name bytewise, once listed.
    std::optional<Digest> header_digest;   ///< Remembered by ContentHash: of the entry itself.
    std::optional<Digest> subtree_digest;  ///< Likewise: of a directory with all below it.

    [[nodiscard]] bool is_directory() const noexcept { return S_ISDIR(mode); }
    [[nodiscard]] bool is_regular() const noexcept { return S_ISREG(mode); }
    [[nodiscard]] bool is_link() const noexcept { return S_ISLNK(mode); }
  };

  /// What is owned and how it is hashed: see ContentHash.
  enum class Kind {
    kView,   ///< A root file system: owners as they are.
    kLocal,  ///< The user's files: owned by 0:0.
  };

  /// The tree at `root`, listed as needed. \throws Error when it cannot be opened.
  [[nodiscard]] static std::unique_ptr<FileTree> open(const std::filesystem::path& root,
                                                      Kind kind = Kind::kView);

  /// The tree at `root` through `filter`, listed now; owners are 0:0. \throws Error as open; also
  /// for directories that cannot be listed and are not excluded; kInvalidInput for malformed
  /// patterns.
  [[nodiscard]] static std::unique_ptr<FileTree> scan(const std::filesystem::path& root,
                                                      const TreeFilter& filter);

  FileTree(const FileTree&) = delete;
  FileTree& operator=(const FileTree&) = delete;

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] const std::filesystem::path& root_path() const noexcept { return root_path_; }
  [[nodiscard]] Entry& root() noexcept { return *root_; }

  /// The entries of a directory; none of anything else.
  [[nodiscard]] const std::vector<Entry*>& list(Entry& directory);

  /// The entry `name` of `directory`; null if there is none.
  [[nodiscard]] Entry* find_in(Entry& directory, std::string_view name);

  /// The entry at `path`, from the root, with links in the middle followed, and one at the end too
  /// if `follow_last`. ".." and absolute links stay inside. Null when there is none.
  /// \throws Error kInvalidInput "too many links" after kLinksMax.
  static constexpr int kLinksMax = 255;
  [[nodiscard]] Entry* find(std::string_view path, bool follow_last);

  /// The absolute path of an entry within the tree: "/" for the root.
  [[nodiscard]] std::string path_of(const Entry& entry) const;

  /// Opens a regular file for reading; one of the user's may have grown. \throws Error as has_grown()
  /// does.
  [[nodiscard]] UniqueFd open_file(const Entry& entry) const;

  /// Whether the open `fd` still is what was listed as `entry`: after reading it, so that nothing
  /// is taken for what it is not. The user's files (kLocal) must have kept their inode, mode, size
  /// and times, or there is no telling which content was hashed and which copied; nobody writes to
  /// the others. \throws Error kUnavailable "/x changed while it was being read".
  void check_unchanged(const Entry& entry, int fd) const;

  /// The same, but a regular file of the user's may be longer than it was, as logs are: then true.
  /// What was there is its first entry.size bytes, if they are the same still.
  [[nodiscard]] bool has_grown(const Entry& entry, int fd) const;

  /// What the others throw.
  [[nodiscard]] Error changed_error(const Entry& entry) const;

  /// Takes over the size and the times that the open `fd` has now.
  static void look_again(Entry& entry, int fd);

  /// \throws Error as check_unchanged does.
  [[nodiscard]] Xattrs xattrs_of(const Entry& entry) const;

  /// When this tree was opened, by the wall clock: entries were read later.
  [[nodiscard]] const timespec& opened_at() const noexcept { return opened_at_; }

  /// Bytes of all regular files listed so far.
  [[nodiscard]] std::int64_t bytes_listed() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t entries_listed() const noexcept { return storage_.size(); }

 private:
  friend class FilteredScan;
  FileTree(std::filesystem::path root, Kind kind);
  Entry& add(Entry& parent, std::string name);
  Entry& add(Entry& parent, std::string name, const struct stat& status, std::string link_target);
  void read_entry(Entry& entry, const struct stat& status) const;
  [[nodiscard]] UniqueFd open_file_at_root() const;
  [[nodiscard]] UniqueFd open_directory(const Entry& directory) const;
  [[nodiscard]] UniqueFd open_entry(const Entry& entry, int flags) const;
  enum class Change { kNone, kGrown, kOther };
  [[nodiscard]] Change change_of(const Entry& entry, int fd) const;

  std::filesystem::path root_path_;
  Kind kind_;
  UniqueFd root_fd_;
  std::deque<Entry> storage_;
  Entry* root_ = nullptr;
  std::int64_t bytes_ = 0;
  timespec opened_at_{};
};

}  // namespace cobuild::ops
