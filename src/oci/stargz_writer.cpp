#include "oci/stargz_writer.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "oci/layer_writer.hpp"
#include "oci/tar_header.hpp"
#include "oci/tar_reader.hpp"

namespace cobuild::oci {
namespace {

constexpr std::uint64_t kChunkBytes = std::uint64_t{4}
                                      << 20;  ///< What the format's own writer has.
constexpr std::size_t kExtensionBytesMax = std::size_t{1} << 20;
constexpr std::size_t kHeaderBytesMax = std::size_t{8} << 20;
constexpr std::string_view kNoPrefetchLandmark = ".no.prefetch.landmark";
constexpr std::string_view kPrefetchLandmark = ".prefetch.landmark";
constexpr char kLandmarkContents = 0xf;

[[noreturn]] void throw_corrupt(const std::string& what) {
  throw Error(ErrorKind::kCorrupt, "making an eStargz layer: " + what);
}

/// Whether an entry of this type says something about the next one.
bool is_extension(char type) {
  return type == 'x' || type == 'g' || type == 'L' || type == 'K';
}

/// The entry whose header blocks are `blocks`.
TarEntry parse_header(std::span<const std::byte> blocks) {
  TarReader reader([&] { return std::exchange(blocks, {}); });
  TarEntry entry;
  if (!reader.next(entry)) throw_corrupt("an extended header without an entry");
  if (entry.is_sparse) {
    throw Error(ErrorKind::kUnsupported, "making an eStargz layer: /" + entry.name +
                                             " is a sparse file; use another compression");
  }
  return entry;
}

bool is_of_format(const std::string& name) {
  std::string const path = clean_entry_path(name);
  return path == kStargzTocName || path == kNoPrefetchLandmark || path == kPrefetchLandmark;
}

}  // namespace

StargzWriter::StargzWriter(ByteFn out, std::function<void()> cut)
    : out_(std::move(out)), cut_(std::move(cut)), header_end_(kTarBlockBytes) {
  add_landmark();
}

void StargzWriter::add_landmark() {
  TarHeader header;
  header.name = kNoPrefetchLandmark;
  header.size = 1;
  std::string landmark = format_tar_header(header);
  landmark += kLandmarkContents;
  landmark.append(tar_padding(1), '\0');
  write(std::as_bytes(std::span(landmark)));
}

void StargzWriter::write(std::span<const std::byte> tar) {
  while (!tar.empty()) {
    std::size_t taken = tar.size();
    switch (state_) {
      case State::kHeader: taken = take_header(tar); break;
      case State::kContents: taken = take_contents(tar); break;
      case State::kPadding: taken = take_padding(tar); break;
      case State::kEnd: break;  // What follows the end of an archive is not of it.
    }
    tar = tar.subspan(taken);
  }
}

void StargzWriter::finish() {
  bool const is_whole = state_ == State::kEnd || (state_ == State::kHeader && header_.empty());
  if (!is_whole) throw_corrupt("its tar ends in the middle of an entry");
  state_ = State::kEnd;
  put(std::as_bytes(std::span(tar_end())));
}

std::size_t StargzWriter::take_header(std::span<const std::byte> data) {
  std::size_t const taken = std::min(data.size(), header_end_ - header_.size());
  header_.insert(header_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(taken));
  if (header_.size() < header_end_) return taken;
  if (std::exchange(in_extension_, false)) {
    header_end_ += kTarBlockBytes;
  } else {
    read_block();
  }
  return taken;
}

/// Looks at the block that is now at the end of header_.
void StargzWriter::read_block() {
  std::span<const std::byte> const block = std::span(header_).last(kTarBlockBytes);
  if (std::ranges::all_of(block, [](std::byte b) { return b == std::byte{0}; })) {
    if (header_.size() > kTarBlockBytes) throw_corrupt("an extended header without an entry");
    state_ = State::kEnd;
    return;
  }
  if (!is_extension(static_cast<char>(block[156]))) return begin_entry();
  std::uint64_t const size = tar_stored_size(block);
  if (size > kExtensionBytesMax || header_.size() > kHeaderBytesMax) {
    throw_corrupt("an extended header of " + std::to_string(size) + " bytes is too long");
  }
  std::size_t const bytes = static_cast<std::size_t>(size) + tar_padding(size);
  in_extension_ = bytes > 0;
  header_end_ += bytes > 0 ? bytes : kTarBlockBytes;
}

void StargzWriter::begin_entry() {
  StargzEntry item;
  item.entry = parse_header(header_);
  // The landmark of this writer is the first entry of all.
  is_dropped_ = !entries_.empty() && is_of_format(item.entry.name);
  left_ = item.entry.size;
  padding_ = tar_padding(left_);
  if (!is_dropped_) {
    put(header_);
    if (item.entry.type == TarType::kRegular && left_ == 0)
      item.digest = Digest::of(std::string_view());
    first_chunk_ = entries_.size();
    entries_.push_back(std::move(item));
  }
  header_.clear();
  header_end_ = kTarBlockBytes;
  if (left_ == 0) return;
  state_ = State::kContents;
  begin_chunk();
}

void StargzWriter::begin_chunk() {
  chunk_left_ = std::min(left_, kChunkBytes);
  if (is_dropped_) return;
  cut_();
  StargzEntry& first = entries_[first_chunk_];
  std::uint64_t const offset = first.entry.size - left_;
  if (offset > 0) {
    StargzEntry further;
    further.entry.name = first.entry.name;
    further.is_chunk = true;
    further.chunk_offset = offset;
    entries_.push_back(std::move(further));
  }
  StargzEntry& chunk = entries_.back();
  if (chunk_left_ == kChunkBytes) chunk.chunk_size = kChunkBytes;
  chunk.cut = cuts_++;
}

void StargzWriter::end_chunk() {
  if (!is_dropped_) {
    Digest const digest = std::exchange(chunk_hash_, DigestWriter()).finish();
    entries_.back().chunk_digest = digest;
    bool const is_only = entries_.size() == first_chunk_ + 1;
    if (left_ == 0) {
      DigestWriter file_hash = std::exchange(file_hash_, DigestWriter());
      entries_[first_chunk_].digest = is_only ? digest : file_hash.finish();
    }
  }
  if (left_ > 0) return begin_chunk();
}

std::size_t StargzWriter::take_contents(std::span<const std::byte> data) {
  data = data.first(static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), chunk_left_)));
  left_ -= data.size();
  chunk_left_ -= data.size();
  if (!is_dropped_) {
    chunk_hash_.write(data);
    // A file of one chunk has that one's digest.
    if (entries_[first_chunk_].entry.size > kChunkBytes) file_hash_.write(data);
    put(data);
  }
  if (chunk_left_ > 0) return data.size();
  end_chunk();
  if (left_ == 0) {
    left_ = padding_;
    state_ = left_ > 0 ? State::kPadding : State::kHeader;
  }
  return data.size();
}

std::size_t StargzWriter::take_padding(std::span<const std::byte> data) {
  data = data.first(static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), left_)));
  left_ -= data.size();
  if (!is_dropped_) put(data);
  if (left_ == 0) state_ = State::kHeader;
  return data.size();
}

void StargzWriter::put(std::span<const std::byte> data) {
  if (!data.empty()) out_(data);
}

}  // namespace cobuild::oci
