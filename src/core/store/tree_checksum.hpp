#pragma once

/// Whether a tree of files is still what it was: a cheap checksum of all of it. Private to
/// core/store.
///
/// It finds what a power cut or a bad copy does (files that are short, missing, full of zeros, or
/// of another mode), not what somebody does on purpose: it is CRC-64, not a digest. Within it is
/// what an export of the layer would show: names, kinds, modes, owners as this user namespace sees
/// them, contents, targets of links, numbers of devices, attributes, and times of change in whole
/// seconds. Times, because they are in the tar of a layer: a tree with other times is another
/// layer, and a power cut may well take a time that was set after the content was written. Whole
/// seconds, because tar and cp keep at least those. Not within it: inode numbers, how often a file
/// is linked, sizes of directories, labels that the machine gives (SELinux), and overlay's own
/// book-keeping, all of which are others in a copy.

#include <boost/asio/thread_pool.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/async/task.hpp"

namespace cobuild::store {

/// The checksum of `directory` and all below it, as text that only equality is to be asked of;
/// nullopt when some of it is not there or cannot be read. Reads everything, on a few threads of
/// `pool` and in short pieces, so that cancelling ends it soon. Must not be changed meanwhile.
/// `bytes_left`: how many bytes of files may be read (all, if null), which becomes how many are
/// left; when they do not suffice the answer is nullopt, and what is left negative.
[[nodiscard]] Task<std::optional<std::string>> tree_checksum(asio::thread_pool& pool,
                                                             std::filesystem::path directory,
                                                             std::int64_t* bytes_left = nullptr);

}  // namespace cobuild::store
