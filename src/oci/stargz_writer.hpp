#pragma once

/// A layer's tar becomes that of an eStargz layer, of which readers can take single files.
///
/// An eStargz is a gzip layer in which the contents of each file, in chunks of at most 4 MiB, begin
/// gzip members of their own; the last file of its tar is a table of all of them. Hence any reader
/// of gzip layers can read it, too; the table comes after the end of what those take for the
/// archive. A landmark says that no files should be fetched ahead. The diff ID is that of the tar
/// with both.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/base/digest.hpp"
#include "oci/compression.hpp"
#include "oci/stargz_toc.hpp"

namespace cobuild::oci {

/// A push stream, as those of compression.hpp. Its memory grows with the number of files, not with
/// their size. What it writes depends on the tar only, not on how that was cut into write() calls.
class StargzWriter {
 public:
  /// `out` gets the tar of the layer up to its table; `cut` is called where a gzip member must
  /// begin with what `out` gets next.
  StargzWriter(ByteFn out, std::function<void()> cut);

  /// More of a layer's tar; a table or landmark that it has already is left out.
  /// \throws Error kCorrupt when it is none; kUnsupported for sparse files.
  void write(std::span<const std::byte> tar);

  /// \throws Error kCorrupt when the tar ends in the middle of an entry.
  void finish();

  /// The table, after finish(). `cuts`: where in the blob each `cut` came to be.
  [[nodiscard]] StargzToc toc(const std::vector<std::uint64_t>& cuts) const {
    return make_stargz_toc(entries_, cuts);
  }

 private:
  enum class State { kHeader, kContents, kPadding, kEnd };

  void add_landmark();
  std::size_t take_header(std::span<const std::byte> data);
  std::size_t take_contents(std::span<const std::byte> data);
  std::size_t take_padding(std::span<const std::byte> data);
  void read_block();
  void begin_entry();
  void begin_chunk();
  void end_chunk();
  void put(std::span<const std::byte> data);

  ByteFn out_;
  std::function<void()> cut_;
  State state_ = State::kHeader;
  std::vector<std::byte>
      header_;                 ///< Blocks of the entry that is coming, extended headers included.
  std::size_t header_end_;     ///< Where its next part ends.
  bool in_extension_ = false;  ///< That part is what an extended header says.
  bool is_dropped_ = false;    ///< The entry is left out.
  std::uint64_t left_ = 0;     ///< Bytes of its contents, or of the padding, still to come.
  std::uint64_t padding_ = 0;  ///< Bytes that follow them.
  std::uint64_t chunk_left_ = 0;
  DigestWriter chunk_hash_;
  DigestWriter file_hash_;
  std::size_t first_chunk_ = 0;  ///< Of the file, in entries_.
  std::size_t cuts_ = 0;
  std::vector<StargzEntry> entries_;
};

}  // namespace cobuild::oci
