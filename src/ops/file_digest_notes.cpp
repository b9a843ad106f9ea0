#include "ops/file_digest_notes.hpp"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace cobuild::ops {

namespace {

constexpr std::string_view kTable = "file-digest";
constexpr std::size_t kRecordsInNoteMax = 12'000;
constexpr std::size_t kNotesMax = 1'000;  ///< For one directory; what is beyond is hashed again.
static_assert(std::is_trivially_copyable_v<FileDigestRecord>);
static_assert(sizeof(FileDigestRecord) == 64, "no padding: it would be uninitialised in the note");
static_assert(kRecordsInNoteMax * sizeof(FileDigestRecord) <= store::Store::kNoteBytesMax);

constexpr std::int64_t kSecond = 1'000'000'000;

}  // namespace

bool FileDigestRecord::matches(const FileTree::Entry& entry) const noexcept {
  return inode == entry.inode && size == entry.size && modified_ns == nanoseconds(entry.modified) &&
         changed_ns == nanoseconds(entry.changed);
}

std::string encode_records(const std::vector<FileDigestRecord>& records) {
  std::string text(records.size() * sizeof(FileDigestRecord), '\0');
  if (!records.empty()) std::memcpy(text.data(), records.data(), text.size());
  return text;
}

std::vector<FileDigestRecord> decode_records(std::string_view text) {
  if (text.empty() || text.size() % sizeof(FileDigestRecord) != 0) return {};
  std::vector<FileDigestRecord> records(text.size() / sizeof(FileDigestRecord));
  std::memcpy(records.data(), text.data(), text.size());
  return records;
}

bool is_settled(const FileTree::Entry& entry, const timespec& seen) noexcept {
  std::int64_t const changed = nanoseconds(entry.changed);
  // The kernel's clock for files ticks every 1 to 10 ms. File systems with whole seconds show it.
  bool const has_fraction = entry.changed.tv_nsec != 0;
  std::int64_t const granularity = has_fraction ? 20'000'000 : 2 * kSecond + kSecond / 10;
  return nanoseconds(seen) - changed > granularity;
}

DirectoryNotes::DirectoryNotes(store::Store& store, const FileTree::Entry& directory)
    : store_(store),
      key_(std::to_string(directory.device) + ":" + std::to_string(directory.inode)) {}

std::string DirectoryNotes::key(std::size_t part) const {
  return part == 0 ? key_ : key_ + "#" + std::to_string(part);
}

std::vector<FileDigestRecord> DirectoryNotes::load() const {
  std::vector<FileDigestRecord> all;
  for (std::size_t part = 0; part < kNotesMax; ++part) {
    std::optional<std::string> const note = store_.get_note(kTable, key(part));
    if (!note) break;
    std::vector<FileDigestRecord> const records = decode_records(*note);
    all.insert(all.end(), records.begin(), records.end());
    if (records.size() < kRecordsInNoteMax) break;
  }
  return all;
}

void DirectoryNotes::save(std::vector<FileDigestRecord> records) const {
  std::sort(records.begin(), records.end(),
            [](const FileDigestRecord& a, const FileDigestRecord& b) { return a.inode < b.inode; });
  for (std::size_t part = 0; part < kNotesMax; ++part) {
    std::size_t const begin = std::min(part * kRecordsInNoteMax, records.size());
    std::size_t const end = std::min(begin + kRecordsInNoteMax, records.size());
    std::vector<FileDigestRecord> const piece(records.begin() + static_cast<std::ptrdiff_t>(begin),
                                              records.begin() + static_cast<std::ptrdiff_t>(end));
    store_.put_note(kTable, key(part), encode_records(piece));
    if (piece.size() < kRecordsInNoteMax) break;  // A part that is not full ends the list.
  }
}

}  // namespace cobuild::ops
