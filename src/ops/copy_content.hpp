#pragma once

/// The bytes of one file, copied.

#include "ops/file_tree.hpp"

namespace cobuild::ops {

/// Copies what `from`, the open regular file `entry` of `tree`, had when it was listed or, if it
/// was, when it was hashed: a file of the user's that has grown since gives only that much, and
/// that is hashed again. `to` is empty, and open for reading as well. May be called by several
/// threads at once, for different entries. Blocking. \throws Error as FileTree::has_grown() does,
/// also when what was hashed is not there any more.
void copy_content(const FileTree& tree, FileTree::Entry& entry, int from, int to);

}  // namespace cobuild::ops
