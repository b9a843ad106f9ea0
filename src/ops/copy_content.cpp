#include "ops/copy_content.hpp"

#include <unistd.h>

#include <cerrno>

#include "core/base/error.hpp"
#include "core/sys/tree.hpp"
#include "ops/content_hash.hpp"

namespace cobuild::ops {

void copy_content(const FileTree& tree, FileTree::Entry& entry, int from, int to) {
  copy_file_content(from, to, static_cast<std::uint64_t>(entry.size));
  if (!tree.has_grown(entry, from)) return;
  if (!entry.header_digest) entry.header_digest = hash_entry(tree, entry);
  if (::ftruncate(to, 0) != 0 || ::lseek(to, 0, SEEK_SET) != 0 || ::lseek(from, 0, SEEK_SET) != 0) {
    throw Error::from_errno(errno, "rewind a file");
  }
  copy_file_content(from, to, static_cast<std::uint64_t>(entry.size));
  if (::ftruncate(to, entry.size) != 0) throw Error::from_errno(errno, "truncate a file");
  if (hash_file(tree, entry, from, to) != *entry.header_digest) throw tree.changed_error(entry);
}

}  // namespace cobuild::ops
