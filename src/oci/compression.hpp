#pragma once

/// Layer blobs, packed and unpacked as streams.
///
/// Both directions are push streams: bytes go in by write(), come out of the sink that the
/// constructor was given, and finish() says that there is no more. Both block (they compute), so
/// they belong on a pool thread or on a thread of their own, never on the loop. Memory is bounded
/// by a few blocks for each thread, whatever the size of the stream.

#include <boost/asio/thread_pool.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/async/task.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::oci {

/// "uncompressed", "gzip" or "zstd", as `--output compression=` spells them.
[[nodiscard]] std::string_view to_string(Compression compression) noexcept;

/// The inverse of to_string; nullopt for anything else.
[[nodiscard]] std::optional<Compression> try_parse_compression(std::string_view text) noexcept;

/// \throws Error kInvalidInput for a level that there is not (F4.2.14): gzip has 0-9, zstd 0-22.
void check_compression_level(Compression compression, int level);

/// How many leading bytes detect_compression wants to see.
inline constexpr std::size_t kCompressionMagicBytes = 4;

/// By magic number. Media types are only a hint: registries serve gzip under plain types and the
/// other way round. Fewer than kCompressionMagicBytes bytes are taken as all there is.
[[nodiscard]] Compression detect_compression(std::span<const std::byte> head) noexcept;

/// Takes the next bytes of a stream; they are valid during the call only. May block, may throw:
/// what it throws comes out of the write() or finish() that caused it.
using ByteFn = std::function<void(std::span<const std::byte>)>;

/// Unpacks gzip (any number of members), zstd (any number of frames) or nothing at all, whichever
/// the first bytes say.
class InflateStream {
 public:
  struct Options {
    /// A stream that unpacks to more than this is refused: a bomb.
    std::uint64_t output_bytes_max = std::uint64_t{1} << 40;
    /// zstd windows above this are refused, for they are allocated. 2^27 is what `zstd -d` takes.
    int zstd_window_log_max = 27;
  };

  /// `out` gets the unpacked bytes, in pieces of at most 1 MiB.
  InflateStream(Options options, ByteFn out);
  InflateStream(InflateStream&&) noexcept;
  InflateStream& operator=(InflateStream&&) noexcept;
  ~InflateStream();

  /// \throws Error kCorrupt when `data` is no continuation of a good stream, or is a bomb.
  void write(std::span<const std::byte> data);

  /// \throws Error kCorrupt when the stream ends in the middle.
  void finish();

  /// What was found; kNone until enough bytes were seen.
  [[nodiscard]] Compression compression() const noexcept;
  [[nodiscard]] std::uint64_t bytes_out() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// Packs in independent blocks, several at once, in order.
///
/// gzip is a series of members (RFC 1952 2.2) of 1 MiB input each, zstd a series of frames of 4
/// MiB; every reader takes a series for one stream. The bytes depend on the input, the type and the
/// level only: not on the number of threads, nor on how the input was cut into write() calls.
class DeflateStream {
 public:
  struct Options {
    Compression compression = Compression::kGzip;
    /// F4.2.14: gzip 0-9, zstd 0-22; absent for the codec's default.
    std::optional<int> level;
    /// Threads that may help; the caller of write() helps too whenever it would have to wait, so
    /// a busy pool, or a pool whose every thread is in write(), slows this down but cannot stop it.
    /// Null: the caller does all the work. Must outlive the stream.
    asio::thread_pool* pool = nullptr;
    /// How many blocks may be in flight: bounds memory to about this many times 2.5 blocks.
    std::size_t blocks_max = 8;
    /// gzip only: members begin where cut() says, and are never cut elsewhere before they have 3 MiB.
    bool is_cut = false;
  };

  /// `out` gets the packed bytes, on the thread that calls write() or finish().
  /// \throws Error kInvalidInput for a level out of range.
  DeflateStream(Options options, ByteFn out);
  DeflateStream(DeflateStream&&) noexcept;
  DeflateStream& operator=(DeflateStream&&) noexcept;
  ~DeflateStream();  ///< Waits for blocks that are being packed; drops the rest.

  void write(std::span<const std::byte> data);

  /// With Options::is_cut: what is written next begins a member of its own.
  void cut();

  /// Writes what is left. An empty stream becomes one empty member or frame.
  void finish();

  /// Where in the packed bytes each cut() came to be. Complete after finish().
  [[nodiscard]] const std::vector<std::uint64_t>& cuts() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// One gzip member of all of `data`, as DeflateStream writes them.
/// \throws Error kInvalidInput for a level out of range.
[[nodiscard]] std::vector<std::byte> gzip_member(std::span<const std::byte> data,
                                                 std::optional<int> level);

}  // namespace cobuild::oci
