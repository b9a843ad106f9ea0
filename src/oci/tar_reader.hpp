#pragma once

/// Reads tar as layers come in: ustar, PAX, GNU long names, base-256 numbers, sparse files.
///
/// Our own, for two reasons: names are bytes here, whatever the locale is (libarchive converts PAX
/// names to the locale's charset, of which a static executable has none), and what hostile archives
/// may do is bounded where it is read. What is accepted follows Go's archive/tar.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "oci/tar_header.hpp"

namespace cobuild::oci {

struct TarEntry {
  std::string name;       ///< As in the archive: not cleaned, may be hostile.
  std::string link_name;  ///< As in the archive.
  TarType type = TarType::kRegular;
  std::uint32_t mode = 0;  ///< The low twelve bits.
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint64_t size = 0;  ///< Of the file once unpacked; 0 for all but regular files.
  std::int64_t mtime = 0;  ///< Seconds since 1970.
  std::uint32_t mtime_ns = 0;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;  ///< Without "SCHILY.xattr.".
  bool is_sparse = false;                                   ///< Its contents come with holes.
};

/// A piece of an entry's contents, and where in the file it belongs.
struct TarData {
  std::uint64_t offset = 0;
  std::span<const std::byte> bytes;  ///< Empty at the end. Valid until the reader is used again.
};

struct TarLimits {
  std::uint64_t entries_max = 16'000'000;
  std::size_t path_bytes_max = 4096;
  std::size_t extended_bytes_max = 1024 * 1024;
  std::size_t sparse_pieces_max = 1'000'000;
};

class TarReader {
 public:
  /// The next piece of the archive, valid until the next call; empty at its end. May throw.
  using Source = std::function<std::span<const std::byte>()>;

  explicit TarReader(Source source, TarLimits limits = {});

  /// Skips what is left of the current entry and reads the next one. False at the end of the
  /// archive; what follows it is not read. \throws Error kCorrupt.
  [[nodiscard]] bool next(TarEntry& entry);

  /// More of the current entry's contents. \throws Error kCorrupt when the archive ends first.
  [[nodiscard]] TarData read();

 private:
  using Block = std::span<const std::byte>;
  struct Extended;
  struct Piece {
    std::uint64_t offset;
    std::uint64_t size;
  };

  [[nodiscard]] bool read_block(std::vector<std::byte>& block);
  [[nodiscard]] std::span<const std::byte> take(std::uint64_t bytes_max);
  void skip(std::uint64_t bytes);
  [[nodiscard]] std::string read_text(std::uint64_t size, const char* what);
  void read_extended(std::uint64_t size, Extended& extended);
  void finish_entry(Block header, const Extended& extended, TarEntry& entry);
  void set_up_sparse(Block header, const Extended& extended, TarEntry& entry);
  void read_old_gnu_map(Block header);
  void read_map_in_data();
  void check_sparse(const TarEntry& entry) const;
  void add_piece(std::int64_t offset, std::int64_t size);

  Source source_;
  TarLimits limits_;
  std::span<const std::byte> chunk_;
  std::vector<std::byte> header_;
  std::uint64_t entries_ = 0;
  std::uint64_t stored_left_ = 0;  ///< Of the current entry's bytes in the archive.
  std::size_t padding_ = 0;
  std::vector<Piece> pieces_;  ///< Where the stored bytes belong; one for plain files.
  std::size_t piece_ = 0;
  std::uint64_t piece_done_ = 0;
};

/// What a header block says of how many bytes follow it. \throws Error kCorrupt.
[[nodiscard]] std::uint64_t tar_stored_size(std::span<const std::byte> header);

}  // namespace cobuild::oci
