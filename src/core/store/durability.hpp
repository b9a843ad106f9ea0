#pragma once

/// What a power cut may take, and how it is noticed. Private to core/store.
///
/// Files of layers and blobs are not synced one by one: a build would wait for the disk at each
/// step. Within one boot of the machine that is safe, since all processes see one page cache,
/// however they die. So a row says that it is `unsynced`, and the store remembers the boot in which
/// such rows were written. At the end of a build there are two ways to make them last:
///
/// - Waiting for the disk once, for all files at the same time (syncfs), and only then clearing the
///   mark. That is cheap when little is left to be written, and takes seconds after a large build.
/// - Otherwise each unsynced layer gets a checksum of its files as they are in the page cache
///   (tree_checksum.hpp), and nobody waits for the disk: the kernel writes when it likes. A later
///   build settles them. Not so when there is much to read and less to write.
///
/// A store opened in another boot (after a power cut, but also after a clean one, or on another
/// machine that the store was moved to) cannot trust what is still marked: those files may be half
/// there. It forgets blobs, which can be had or made again, and layers without a checksum. Layers
/// with one become *suspect*: they are there, but their files are compared with the checksum before
/// anybody uses them. One that is whole becomes unsynced in this boot, with its checksum, and not
/// synced: that its files can be read says nothing of the disk when the store was copied here a
/// minute ago. One that is not whole is forgotten as if the power cut had just been.
///
/// Why the order is safe. A checksum is computed after the layer's row is committed, of files that
/// nobody changes any more. The database may lose its last commits in a power cut, but never an
/// earlier one than it keeps: a row that lost its checksum is forgotten; a mark cannot be cleared
/// while the row that it speaks of is lost, or the other way round; and a row that lost the
/// clearing of its mark is only looked at once more. A mark of this boot is cleared by syncfs and
/// nothing else, and that of a suspect layer never: what it wrote of those files is not known to be
/// right.
///
/// A process that is killed before the end of its build, or whose build fails, leaves rows without
/// checksum. The next build that ends well in the same boot takes care of them.
///
/// Removing goes the other way round: the rows' removal is made durable before the files go.

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/store/database.hpp"

namespace cobuild::store {

/// layers.unsynced of a layer whose files are to be compared with their checksum before use.
inline constexpr std::int64_t kSuspect = 2;

/// Waiting for the disk to write this much at the end of a build is not felt: a tenth of a second
/// on a slow disk.
inline constexpr std::int64_t kUnwrittenBytesMax = std::int64_t{16} << 20;

/// The page cache is read at some gigabytes a second, and a disk written at some hundred megabytes.
inline constexpr std::int64_t kReadPerUnwritten = 8;

/// Forgets unsynced rows of an earlier boot, but for layers with a checksum, which become suspect.
/// `boot`: which this is; cheap when it is the same.
void forget_unsynced(Database& database, const std::filesystem::path& root, std::string_view boot);

/// The kernel's name for the time since the machine started; empty where /proc is not to be had.
/// All boots look alike then, so that nothing may be left unsynced.
[[nodiscard]] std::string boot_id();

/// How much the kernel has still to write, for all file systems; nullopt where it does not say.
[[nodiscard]] std::optional<std::int64_t> unwritten_bytes();
/// How much memory could be had for the page cache; 0 where the kernel does not say.
[[nodiscard]] std::int64_t available_bytes();
/// The sum of what the text of /proc/meminfo says of `names`; nullopt if one is missing or no size.
[[nodiscard]] std::optional<std::int64_t> parse_meminfo_bytes(
    std::string_view meminfo, std::initializer_list<std::string_view> names);

/// How much may be read for checksums, when that much is `unwritten` and `available`: reading more
/// takes longer than to wait for the disk, or has the files come from it.
[[nodiscard]] std::int64_t bytes_worth_reading(std::int64_t unwritten, std::int64_t available);

/// Rows whose files are not known to be on disk. Those of rows that come later may be too late for
/// a sync that has begun.
struct Unsettled {
  std::vector<std::int64_t> layers;
  /// With the mark's value, which tells a blob from one that was collected and written again.
  std::vector<std::pair<Digest, std::int64_t>> blobs;

  [[nodiscard]] bool empty() const noexcept { return layers.empty() && blobs.empty(); }
};
[[nodiscard]] Unsettled list_unsettled(Database& database);

/// Clears the marks of what was listed before a sync that has ended, within the caller's
/// transaction.
void mark_settled(Database& database, const Unsettled& synced);

/// What a suspect layer turned out to be, within the caller's transaction. Nothing happens if it is
/// suspect no more.
void trust_suspect(Database& database, std::int64_t layer);
void forget_suspect(Database& database, const std::filesystem::path& root, std::int64_t layer);

/// ingest/<this>...: files that nobody needs: of a forgotten layer, of a dead process, of what was
/// collected. \see remove_discarded.
inline constexpr std::string_view kDiscarded = "discarded-";

/// The files of a layer are not to be trusted, or gone, within the caller's transaction. A pulled
/// layer can be pulled again, if it is known from where; one that was made here cannot be made from
/// its row, and is forgotten.
void drop_snapshot(Database& database, const std::filesystem::path& root, std::int64_t layer);

/// Forgets a layer, with the notes about it and the results that need it, within the caller's
/// transaction. Its files stay.
void forget_layer(Database& database, std::int64_t layer);

}  // namespace cobuild::store
