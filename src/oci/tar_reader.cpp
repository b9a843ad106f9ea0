#include "oci/tar_reader.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <string_view>

#include "core/base/error.hpp"

namespace cobuild::oci {

namespace {

constexpr char kPaxType = 'x';
constexpr char kPaxGlobalType = 'g';
constexpr char kGnuLongNameType = 'L';
constexpr char kGnuLongLinkType = 'K';
constexpr char kGnuSparseType = 'S';
constexpr char kOldRegularType = '\0';
constexpr char kContiguousType = '7';

constexpr std::string_view kXattrPrefix = "SCHILY.xattr.";

[[noreturn]] void throw_corrupt(const std::string& what) {
  throw Error(ErrorKind::kCorrupt, "reading a tar archive: " + what);
}

std::string_view text_at(std::span<const std::byte> block, std::size_t offset, std::size_t size) {
  const char* const begin = reinterpret_cast<const char*>(block.data()) + offset;
  return {begin, size};
}

/// A text field: up to its NUL, if it has one.
std::string_view string_at(std::span<const std::byte> block, std::size_t offset, std::size_t size) {
  std::string_view const field = text_at(block, offset, size);
  return field.substr(0, field.find('\0'));
}

std::int64_t parse_octal(std::string_view text, const char* what) {
  auto is_blank = [](char c) { return c == ' ' || c == '\0'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  text = text.substr(0, text.find('\0'));
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  if (text.empty()) return 0;
  std::uint64_t value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || end != text.data() + text.size() ||
      value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    throw_corrupt(std::string("bad number for ") + what);
  }
  return static_cast<std::int64_t>(value);
}

/// Two's complement, big endian, in all bits but the first; \see GNU tar's "base-256".
std::int64_t parse_base256(std::string_view text, const char* what) {
  bool const negative = (static_cast<unsigned char>(text[0]) & 0x40U) != 0;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(negative ? ~text[i] : text[i]);
    if (i == 0) byte &= 0x7f;
    if ((value >> 55) != 0) throw_corrupt(std::string("number too large for ") + what);
    value = value << 8 | byte;
  }
  auto const result = static_cast<std::int64_t>(value);
  return negative ? ~result : result;
}

std::int64_t number_at(std::span<const std::byte> block, std::size_t offset, std::size_t size,
                       const char* what) {
  std::string_view const field = text_at(block, offset, size);
  if ((static_cast<unsigned char>(field[0]) & 0x80U) != 0) return parse_base256(field, what);
  return parse_octal(field, what);
}

bool is_zero(std::span<const std::byte> block) noexcept {
  return std::all_of(block.begin(), block.end(), [](std::byte b) { return b == std::byte{0}; });
}

void check_sum(std::span<const std::byte> block) {
  std::int64_t as_unsigned = 0;
  std::int64_t as_signed = 0;  // Some old writers summed signed characters.
  for (std::size_t i = 0; i < kTarBlockBytes; ++i) {
    bool const in_sum_field = i >= 148 && i < 156;
    auto const byte =
        in_sum_field ? static_cast<unsigned char>(' ') : static_cast<unsigned char>(block[i]);
    as_unsigned += byte;
    as_signed += static_cast<signed char>(byte);
  }
  std::int64_t const stored = parse_octal(text_at(block, 148, 8), "the checksum");
  if (stored != as_unsigned && stored != as_signed) throw_corrupt("header checksum does not match");
}

std::uint32_t checked_id(std::int64_t value, const char* what) {
  // 2^32 - 1 means "no change" to chown.
  if (value < 0 || value >= std::numeric_limits<std::uint32_t>::max()) {
    throw_corrupt(std::string(what) + " " + std::to_string(value) + " is out of range");
  }
  return static_cast<std::uint32_t>(value);
}

std::int64_t parse_decimal(std::string_view text, const char* what) {
  std::int64_t value = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    throw_corrupt(std::string("bad number for ") + what);
  }
  return value;
}

/// What the header's name and prefix fields say together.
std::string header_name(std::span<const std::byte> block) {
  std::string name(string_at(block, 0, 100));
  std::string_view const magic = text_at(block, 257, 8);
  if (!magic.starts_with(std::string_view("ustar\0", 6))) return name;
  bool const is_star = text_at(block, 508, 4) == std::string_view("tar\0", 4);
  std::string_view const prefix = string_at(block, 345, is_star ? 131 : 155);
  return prefix.empty() ? name : std::string(prefix) + '/' + name;
}

std::optional<TarType> to_type(char flag, std::string_view name) {
  switch (flag) {
    case kOldRegularType: return name.ends_with('/') ? TarType::kDirectory : TarType::kRegular;
    case kContiguousType:
    case kGnuSparseType: return TarType::kRegular;
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6': return static_cast<TarType>(flag);
    default: return std::nullopt;
  }
}

}  // namespace

std::uint64_t tar_stored_size(std::span<const std::byte> header) {
  std::int64_t const size = number_at(header, 124, 12, "size");
  if (size < 0) throw_corrupt("negative size");
  return static_cast<std::uint64_t>(size);
}

/// What extended headers said about the entry that follows them.
struct TarReader::Extended {
  std::optional<std::string> name;
  std::optional<std::string> link_name;
  std::optional<std::int64_t> uid;
  std::optional<std::int64_t> gid;
  std::optional<std::int64_t> size;
  std::optional<std::int64_t> mtime;
  std::uint32_t mtime_ns = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
  // GNU.sparse.*: versions 0.0 and 0.1 have the map here, 1.0 has it before the contents.
  std::optional<std::string> sparse_name;
  std::optional<std::int64_t> sparse_size;
  std::vector<Piece> sparse_map;
  std::optional<std::int64_t> sparse_offset;  ///< Of 0.0's pair that is being read.
  bool is_sparse = false;
  bool has_map_in_data = false;

  void set(std::string_view key, std::string_view value, const TarLimits& limits);
  void set_time(std::string_view value);
  void set_sparse(std::string_view key, std::string_view value, const TarLimits& limits);
  void add_sparse(std::int64_t offset, std::int64_t length, const TarLimits& limits);
};

void TarReader::Extended::set(std::string_view key, std::string_view value,
                              const TarLimits& limits) {
  // An empty value takes the record back.
  if (key == "path") {
    value.empty() ? name.reset() : void(name = value);
  } else if (key == "linkpath") {
    value.empty() ? link_name.reset() : void(link_name = value);
  } else if (key == "uid") {
    value.empty() ? uid.reset() : void(uid = parse_decimal(value, "uid"));
  } else if (key == "gid") {
    value.empty() ? gid.reset() : void(gid = parse_decimal(value, "gid"));
  } else if (key == "size") {
    value.empty() ? size.reset() : void(size = parse_decimal(value, "size"));
  } else if (key == "mtime") {
    value.empty() ? mtime.reset() : set_time(value);
  } else if (key.starts_with(kXattrPrefix)) {
    xattrs.emplace_back(key.substr(kXattrPrefix.size()), value);
  } else if (key.starts_with("GNU.sparse.")) {
    set_sparse(key.substr(11), value, limits);
  }
}

void TarReader::Extended::set_time(std::string_view value) {
  std::size_t const dot = value.find('.');
  std::string_view const seconds = value.substr(0, dot);
  mtime = parse_decimal(seconds, "mtime");
  mtime_ns = 0;
  if (dot == std::string_view::npos) return;
  std::string digits(value.substr(dot + 1, 9));
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string::npos) {
    throw_corrupt("bad number for mtime");
  }
  digits.resize(9, '0');
  auto const ns = static_cast<std::uint32_t>(parse_decimal(digits, "mtime"));
  if (!seconds.starts_with('-') || ns == 0) {
    mtime_ns = ns;
  } else if (*mtime > std::numeric_limits<std::int64_t>::min()) {
    --*mtime;  // -1.25 is 0.75 after -2.
    mtime_ns = 1'000'000'000U - ns;
  }
}

void TarReader::Extended::add_sparse(std::int64_t offset, std::int64_t length,
                                     const TarLimits& limits) {
  if (offset < 0 || length < 0) throw_corrupt("bad sparse map");
  if (sparse_map.size() >= limits.sparse_pieces_max)
    throw_corrupt("a sparse map of too many pieces");
  sparse_map.push_back({static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(length)});
}

void TarReader::Extended::set_sparse(std::string_view key, std::string_view value,
                                     const TarLimits& limits) {
  is_sparse = true;
  if (key == "name") {
    sparse_name = value;
  } else if (key == "size" || key == "realsize") {
    sparse_size = parse_decimal(value, "the sparse size");
  } else if (key == "major") {
    has_map_in_data = value == "1";
  } else if (key == "offset") {
    sparse_offset = parse_decimal(value, "a sparse offset");
  } else if (key == "numbytes") {
    if (!sparse_offset) throw_corrupt("bad sparse map");
    add_sparse(*sparse_offset, parse_decimal(value, "a sparse length"), limits);
    sparse_offset.reset();
  } else if (key == "map") {
    while (!value.empty()) {
      std::size_t const first = value.find(',');
      if (first == std::string_view::npos) throw_corrupt("bad sparse map");
      std::size_t const second = std::min(value.find(',', first + 1), value.size());
      add_sparse(parse_decimal(value.substr(0, first), "a sparse offset"),
                 parse_decimal(value.substr(first + 1, second - first - 1), "a sparse length"),
                 limits);
      value.remove_prefix(std::min(second + 1, value.size()));
    }
  }
}

TarReader::TarReader(Source source, TarLimits limits)
    : source_(std::move(source)), limits_(limits) {}

std::span<const std::byte> TarReader::take(std::uint64_t bytes_max) {
  if (chunk_.empty()) chunk_ = source_();
  std::size_t const n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes_max, chunk_.size()));
  std::span<const std::byte> const out = chunk_.first(n);
  chunk_ = chunk_.subspan(n);
  return out;
}

void TarReader::skip(std::uint64_t bytes) {
  while (bytes > 0) {
    std::size_t const n = take(bytes).size();
    if (n == 0) throw_corrupt("it ends in the middle of an entry");
    bytes -= n;
  }
}

bool TarReader::read_block(std::vector<std::byte>& block) {
  block.clear();
  while (block.size() < kTarBlockBytes) {
    std::span<const std::byte> const piece = take(kTarBlockBytes - block.size());
    if (piece.empty()) {
      if (block.empty()) return false;
      throw_corrupt("it ends in the middle of a header");
    }
    block.insert(block.end(), piece.begin(), piece.end());
  }
  return true;
}

std::string TarReader::read_text(std::uint64_t size, const char* what) {
  if (size > limits_.extended_bytes_max) {
    throw_corrupt(std::string(what) + " of " + std::to_string(size) + " bytes is too long");
  }
  std::string text;
  text.reserve(static_cast<std::size_t>(size));
  while (text.size() < size) {
    std::span<const std::byte> const piece = take(size - text.size());
    if (piece.empty()) throw_corrupt("it ends in the middle of an entry");
    text.append(reinterpret_cast<const char*>(piece.data()), piece.size());
  }
  skip(tar_padding(size));
  return text;
}

void TarReader::read_extended(std::uint64_t size, Extended& extended) {
  std::string const text = read_text(size, "an extended header");
  std::string_view rest = text;
  while (!rest.empty()) {
    std::size_t const blank = rest.find(' ');
    std::uint64_t length = 0;
    auto const digits = rest.substr(0, blank);
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    bool const good = blank != std::string_view::npos && error == std::errc() &&
                      end == digits.data() + digits.size() && length > blank + 1 &&
                      length <= rest.size() && rest[length - 1] == '\n';
    if (!good) throw_corrupt("bad extended header");
    std::string_view const record = rest.substr(blank + 1, length - blank - 2);
    std::size_t const equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) throw_corrupt("bad extended header");
    extended.set(record.substr(0, equals), record.substr(equals + 1), limits_);
    rest.remove_prefix(length);
  }
}

bool TarReader::next(TarEntry& entry) {
  skip(stored_left_);
  skip(padding_);
  stored_left_ = 0;
  padding_ = 0;
  Extended extended;
  for (;;) {
    if (++entries_ > limits_.entries_max) {
      throw_corrupt("more than " + std::to_string(limits_.entries_max) + " entries");
    }
    if (!read_block(header_)) return false;
    if (is_zero(header_)) {
      if (!read_block(header_) || is_zero(header_)) return false;
      throw_corrupt("a zero block in the middle");
    }
    check_sum(header_);
    std::uint64_t const stored = tar_stored_size(header_);
    switch (static_cast<char>(header_[156])) {
      case kPaxType: read_extended(stored, extended); break;
      case kPaxGlobalType:
        (void)read_text(stored, "a global header");  // Defaults for all: nobody relies on them.
        break;
      case kGnuLongNameType:
        extended.name = read_text(stored, "a name");
        extended.name->resize(std::min(extended.name->find('\0'), extended.name->size()));
        break;
      case kGnuLongLinkType:
        extended.link_name = read_text(stored, "a link's target");
        extended.link_name->resize(
            std::min(extended.link_name->find('\0'), extended.link_name->size()));
        break;
      default: finish_entry(header_, extended, entry); return true;
    }
  }
}

void TarReader::finish_entry(Block header, const Extended& extended, TarEntry& entry) {
  entry = TarEntry();
  entry.name = extended.name ? *extended.name : header_name(header);
  entry.link_name =
      extended.link_name ? *extended.link_name : std::string(string_at(header, 157, 100));
  auto const flag = static_cast<char>(header[156]);
  std::optional<TarType> const type = to_type(flag, entry.name);
  if (!type) {
    throw_corrupt("unhandled tar header type " + std::to_string(static_cast<unsigned char>(flag)) +
                  " of " + entry.name);
  }
  entry.type = *type;
  entry.mode = static_cast<std::uint32_t>(number_at(header, 100, 8, "mode")) & 07777U;
  entry.uid = checked_id(extended.uid ? *extended.uid : number_at(header, 108, 8, "uid"), "uid");
  entry.gid = checked_id(extended.gid ? *extended.gid : number_at(header, 116, 8, "gid"), "gid");
  entry.mtime = extended.mtime ? *extended.mtime : number_at(header, 136, 12, "mtime");
  entry.mtime_ns = extended.mtime_ns;
  entry.xattrs = extended.xattrs;
  if (entry.type == TarType::kCharDevice || entry.type == TarType::kBlockDevice) {
    entry.device_major = checked_id(number_at(header, 329, 8, "the device"), "device number");
    entry.device_minor = checked_id(number_at(header, 337, 8, "the device"), "device number");
  }

  std::int64_t const size = extended.size ? *extended.size : number_at(header, 124, 12, "size");
  if (size < 0) throw_corrupt("negative size");
  // Only regular files have contents, whatever the field says.
  stored_left_ = entry.type == TarType::kRegular ? static_cast<std::uint64_t>(size) : 0;
  padding_ = tar_padding(stored_left_);
  entry.size = stored_left_;
  pieces_.assign(1, Piece{0, stored_left_});
  piece_ = 0;
  piece_done_ = 0;
  bool const is_sparse = flag == kGnuSparseType || extended.is_sparse;
  if (is_sparse && entry.type == TarType::kRegular) set_up_sparse(header, extended, entry);

  for (const std::string* name : {&entry.name, &entry.link_name}) {
    if (name->size() > limits_.path_bytes_max) {
      throw_corrupt("a name of " + std::to_string(name->size()) + " bytes is too long");
    }
    if (name->find('\0') != std::string::npos) throw_corrupt("a name with a NUL in it");
  }
}

void TarReader::add_piece(std::int64_t offset, std::int64_t size) {
  if (offset < 0 || size < 0) throw_corrupt("bad sparse map");
  if (pieces_.size() >= limits_.sparse_pieces_max) throw_corrupt("a sparse map of too many pieces");
  pieces_.push_back({static_cast<std::uint64_t>(offset), static_cast<std::uint64_t>(size)});
}

void TarReader::set_up_sparse(Block header, const Extended& extended, TarEntry& entry) {
  entry.is_sparse = true;
  pieces_.clear();
  if (static_cast<char>(header[156]) == kGnuSparseType) {
    std::int64_t const size = number_at(header, 483, 12, "the sparse size");
    if (size < 0) throw_corrupt("negative size");
    entry.size = static_cast<std::uint64_t>(size);
    read_old_gnu_map(header);
  } else {
    if (extended.sparse_name) entry.name = *extended.sparse_name;
    if (!extended.sparse_size || *extended.sparse_size < 0) throw_corrupt("bad sparse size");
    entry.size = static_cast<std::uint64_t>(*extended.sparse_size);
    if (extended.has_map_in_data) {
      read_map_in_data();
    } else {
      pieces_ = extended.sparse_map;
    }
  }
  check_sparse(entry);
}

/// Four pairs in the header, then blocks of 21 as long as the last byte says so.
void TarReader::read_old_gnu_map(Block header) {
  std::vector<std::byte> block(header.begin(), header.end());
  std::size_t offset = 386;
  std::size_t count = 4;
  std::size_t more = 482;
  for (;;) {
    for (std::size_t i = 0; i < count; ++i, offset += 24) {
      if (block[offset] == std::byte{0}) break;
      add_piece(number_at(block, offset, 12, "a sparse offset"),
                number_at(block, offset + 12, 12, "a sparse length"));
    }
    if (block[more] == std::byte{0}) return;
    if (!read_block(block)) throw_corrupt("it ends in the middle of an entry");
    offset = 0;
    count = 21;
    more = 504;
  }
}

/// Version 1.0: decimal lines before the contents, padded to a block.
void TarReader::read_map_in_data() {
  std::vector<std::byte> block;
  std::string line;
  std::size_t at = kTarBlockBytes;
  auto next_number = [&] {
    line.clear();
    for (;;) {
      if (at == kTarBlockBytes) {
        if (stored_left_ < kTarBlockBytes || !read_block(block)) throw_corrupt("bad sparse map");
        stored_left_ -= kTarBlockBytes;
        at = 0;
      }
      auto const c = static_cast<char>(block[at++]);
      if (c == '\n') return parse_decimal(line, "a sparse map");
      line += c;
      if (line.size() > 20) throw_corrupt("bad sparse map");
    }
  };
  std::int64_t const count = next_number();
  for (std::int64_t i = 0; i < count; ++i) {
    std::int64_t const offset = next_number();
    add_piece(offset, next_number());
  }
}

void TarReader::check_sparse(const TarEntry& entry) const {
  std::uint64_t end = 0;
  std::uint64_t stored = 0;
  for (const Piece& piece : pieces_) {
    bool const good =
        piece.offset >= end && piece.size <= entry.size && piece.offset <= entry.size - piece.size;
    if (!good) throw_corrupt("bad sparse map of " + entry.name);
    end = piece.offset + piece.size;
    stored += piece.size;
  }
  if (stored != stored_left_) throw_corrupt("bad sparse map of " + entry.name);
}

TarData TarReader::read() {
  while (piece_ < pieces_.size() && piece_done_ == pieces_[piece_].size) {
    ++piece_;
    piece_done_ = 0;
  }
  if (piece_ == pieces_.size()) return {};
  const Piece& piece = pieces_[piece_];
  std::span<const std::byte> const bytes = take(piece.size - piece_done_);
  if (bytes.empty()) throw_corrupt("it ends in the middle of an entry");
  TarData const data{piece.offset + piece_done_, bytes};
  piece_done_ += bytes.size();
  stored_left_ -= bytes.size();
  return data;
}

}  // namespace cobuild::oci
