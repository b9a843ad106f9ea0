#pragma once

/// Digests of what an op reads of a tree (F2.6.12 to F2.6.16), equal to BuildKit's.
///
/// Files are hashed once: the digests of a local directory's files are remembered in the store
/// under their inode, size and times, those of a ref under its layers.

#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/solve/op.hpp"
#include "ops/file_tree.hpp"
#include "ops/op_digest.hpp"
#include "ops/services.hpp"

namespace cobuild::ops {

/// The digest of what `selectors` name of `input`: for a local directory straight from the user's
/// files, for layers from a mounted view of them (which fetches lazy ones). No selector at all
/// means the whole tree. Cancellable between files.
/// \throws Error kNotFound `failed to calculate checksum of ref X: "/x": not found` for paths that
/// are missing (F9.1.4); what reading files throws.
Task<Digest> content_digest(Services services, std::vector<ContentSelector> selectors,
                            solve::Result input, solve::StepSink& step);

/// Computes over one tree. Pure but for the tree; blocking; used by one thread.
class ContentHash {
 public:
  explicit ContentHash(FileTree& tree) : tree_(tree) {}

  /// The digest of one selection. Regular files whose digest is not remembered in their entry yet
  /// are put into missing() and stand for nothing: hash them (hash_file), put the digests into
  /// their entries, and ask again until nothing is missing.
  /// \throws Error kNotFound `"/x": not found`.
  [[nodiscard]] Digest digest_of(const ContentSelector& selector);

  [[nodiscard]] const std::vector<FileTree::Entry*>& missing() const noexcept { return missing_; }
  void forget_missing() { missing_.clear(); }

  /// What all of `selectors` name; their digests have been asked for, and nothing is missing.
  [[nodiscard]] solve::FileList list(const std::vector<ContentSelector>& selectors);

  /// Of all selections together: what content_digest returns.
  [[nodiscard]] static Digest combine(const std::vector<Digest>& digests);

 private:
  struct Included;
  class Selection;
  [[nodiscard]] Digest header_of(FileTree::Entry& entry);
  [[nodiscard]] Digest subtree_of(FileTree::Entry& entry);
  [[nodiscard]] Digest plain(std::string_view path, bool follow_links);
  void list_one(const FileTree::Entry& entry, solve::FileList& list) const;
  void list_below(FileTree::Entry& top, solve::FileList& list);

  FileTree& tree_;
  std::vector<FileTree::Entry*> missing_;
};

/// What `selectors`, those of a content_digest before, name of a local directory; nullopt for
/// layers: their list is a note about the last of them (\see solve::file_list_note).
Task<std::optional<solve::FileList>> list_content(Services services,
                                                  std::vector<ContentSelector> selectors,
                                                  solve::Result input);

/// The digest of one entry by itself: its header (F2.6.12, F2.6.13), and for a regular file its
/// bytes. A file of the user's that has grown since it was listed counts as it is now, and its
/// entry with it. May be called for several entries of one tree by several threads at once.
/// Blocking.
[[nodiscard]] Digest hash_entry(const FileTree& tree, FileTree::Entry& entry);

/// The same of a regular file the bytes of which are those of `content`, from its beginning, and
/// its attributes those of `file`.
[[nodiscard]] Digest hash_file(const FileTree& tree, const FileTree::Entry& entry, int file,
                               int content);

}  // namespace cobuild::ops
