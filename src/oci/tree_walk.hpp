#pragma once

/// What is in a tree of files, as headers of tar entries.

#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <string>

#include "core/sys/fs.hpp"
#include "oci/tar_header.hpp"

namespace cobuild::oci {

/// One file of a tree.
struct TreeFile {
  int root_fd;              ///< Of the tree, O_PATH.
  const std::string& path;  ///< Relative to it; "" for the tree itself.
  const struct stat& status;

  /// The contents of a regular file. \throws Error naming it.
  [[nodiscard]] UniqueFd open() const;
};

/// The header of the file `path` of the directory `directory_fd`, whose status is given: with the path
/// as its name, the time in whole seconds, rounded down, and no attributes. \throws Error when a link
/// cannot be read.
[[nodiscard]] TarHeader header_of_file(int directory_fd, const std::string& path,
                                       const struct stat& status);

/// Gets a file and its header: with the path as its name, the time in whole seconds, rounded down,
/// attributes as records, and a file's further names as hard links to the first. Sockets are left
/// out, and so are overlay's own attributes.
using TreeVisit = std::function<void(TarHeader header, const TreeFile& file)>;

/// Calls `visit` for all that is beneath `root`, by name, directories before what is in them. Links
/// are not followed. The tree must not change meanwhile. Blocking. \throws Error, and what `visit`
/// throws.
void walk_tree(const std::filesystem::path& root, const TreeVisit& visit);

/// As walk_tree, for the tree's own directory alone: its name is "./".
void visit_tree_root(const std::filesystem::path& root, const TreeVisit& visit);

}  // namespace cobuild::oci
