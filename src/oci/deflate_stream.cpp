#include <libdeflate.h>
#include <zstd.h>

#include <boost/asio/post.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/async/runtime.hpp"
#include "core/base/error.hpp"
#include "oci/compression.hpp"

namespace cobuild::oci {

namespace {

constexpr std::size_t kGzipBlockBytes = std::size_t{1} << 20;
/// Larger than gzip's: a zstd window is 2 MiB at the default level, and is lost with each frame.
constexpr std::size_t kZstdBlockBytes = std::size_t{4} << 20;
/// Members of several files share a block, and one chunk of a file fits in beside them.
constexpr std::size_t kCutBlockBytes = std::size_t{8} << 20;
constexpr int kGzipLevelDefault = 6;
constexpr int kZstdLevelDefault = 3;

/// What one thread needs to pack one block; reused, for the tables are large.
class BlockCodec {
 public:
  BlockCodec(Compression compression, int level) : level_(level) {
    if (compression == Compression::kGzip) {
      gzip_.reset(libdeflate_alloc_compressor(level));
    } else {
      zstd_.reset(ZSTD_createCCtx());
    }
    if (!gzip_ && !zstd_) throw Error(ErrorKind::kInternal, "compressing: out of memory");
  }

  /// Appends what `in` packs to.
  void pack(std::span<const std::byte> in, std::vector<std::byte>& out) {
    std::size_t const used = out.size();
    if (gzip_) {
      out.resize(used + libdeflate_gzip_compress_bound(gzip_.get(), in.size()));
      std::size_t const size = libdeflate_gzip_compress(gzip_.get(), in.data(), in.size(),
                                                        out.data() + used, out.size() - used);
      if (size == 0) throw Error(ErrorKind::kInternal, "compressing a gzip block");
      out.resize(used + size);
      return;
    }
    out.resize(used + ZSTD_compressBound(in.size()));
    std::size_t const size = ZSTD_compressCCtx(zstd_.get(), out.data() + used, out.size() - used,
                                               in.data(), in.size(), level_);
    if (ZSTD_isError(size) != 0) {
      throw Error(ErrorKind::kInternal,
                  std::string("compressing a zstd block: ") + ZSTD_getErrorName(size));
    }
    out.resize(used + size);
  }

 private:
  struct Free {
    void operator()(libdeflate_compressor* c) const noexcept { libdeflate_free_compressor(c); }
    void operator()(ZSTD_CCtx* c) const noexcept { ZSTD_freeCCtx(c); }
  };
  int level_;
  std::unique_ptr<libdeflate_compressor, Free> gzip_;
  std::unique_ptr<ZSTD_CCtx, Free> zstd_;
};

struct Block {
  std::atomic<bool> claimed = false;  ///< Whoever turns this to true packs the block.
  std::vector<std::byte> input;
  std::vector<std::size_t> cuts;  ///< Where members begin: in the input, and once packed in the output.
  std::vector<std::byte> output;
  std::exception_ptr failure;
  bool done = false;  ///< Guarded by Workshop::mutex.
};

void pack_block(BlockCodec& codec, Block& block) {
  std::span<const std::byte> const input = block.input;
  std::size_t begin = 0;
  for (std::size_t& cut : block.cuts) {
    if (cut > begin) codec.pack(input.subspan(begin, cut - begin), block.output);
    begin = std::exchange(cut, block.output.size());
  }
  // An empty stream is a member, too.
  if (begin < input.size() || input.empty()) codec.pack(input.subspan(begin), block.output);
}

/// What the threads share. Kept alive by the pool's jobs too: a job may find its block claimed long
/// after the stream has gone.
class Workshop {
 public:
  Workshop(Compression compression, int level) : compression_(compression), level_(level) {}

  /// Packs `block` if nobody else does. Whether it did.
  bool try_pack(Block& block) {
    if (block.claimed.exchange(true)) return false;
    try {
      std::unique_ptr<BlockCodec> codec = take_codec();
      pack_block(*codec, block);
      std::lock_guard const lock(mutex_);
      codecs_.push_back(std::move(codec));
    } catch (...) {
      block.failure = std::current_exception();
    }
    {
      std::lock_guard const lock(mutex_);
      block.done = true;
    }
    changed_.notify_all();
    return true;
  }

  [[nodiscard]] bool is_done(const Block& block) {
    std::lock_guard const lock(mutex_);
    return block.done;
  }

  void wait_for(const Block& block) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return block.done; });
  }

 private:
  std::unique_ptr<BlockCodec> take_codec() {
    {
      std::lock_guard const lock(mutex_);
      if (!codecs_.empty()) {
        std::unique_ptr<BlockCodec> codec = std::move(codecs_.back());
        codecs_.pop_back();
        return codec;
      }
    }
    return std::make_unique<BlockCodec>(compression_, level_);
  }

  Compression compression_;
  int level_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<BlockCodec>> codecs_;
};

int checked_level(Compression compression, std::optional<int> level) {
  if (!level) return compression == Compression::kGzip ? kGzipLevelDefault : kZstdLevelDefault;
  check_compression_level(compression, *level);
  return *level;
}

}  // namespace

void check_compression_level(Compression compression, int level) {
  if (compression == Compression::kNone) return;
  int const level_max = compression == Compression::kGzip ? 9 : 22;
  if (level >= 0 && level <= level_max) return;
  throw Error(ErrorKind::kInvalidInput, "compression-level " + std::to_string(level) + " for " +
                                            std::string(to_string(compression)) + ": use 0 to " +
                                            std::to_string(level_max));
}

class DeflateStream::Impl {
 public:
  Impl(Options options, ByteFn out)
      : options_(options),
        block_bytes_(options.compression == Compression::kZstd ? kZstdBlockBytes : kGzipBlockBytes),
        out_(std::move(out)) {
    if (options_.compression == Compression::kNone) return;
    in_flight_max_ = options_.pool != nullptr ? options_.blocks_max : 0;
    if (options_.is_cut) block_bytes_ = kCutBlockBytes;
    // Large blocks: no more of them than keep all threads busy.
    if (options_.compression == Compression::kZstd || options_.is_cut) {
      in_flight_max_ = std::min<std::size_t>(in_flight_max_, cpus_allowed() + 2);
    }
    workshop_ = std::make_shared<Workshop>(options_.compression,
                                           checked_level(options_.compression, options_.level));
  }

  ~Impl() {
    for (const std::shared_ptr<Block>& block : blocks_) {
      if (block->claimed.exchange(true)) workshop_->wait_for(*block);
    }
  }

  void write(std::span<const std::byte> data) {
    if (!workshop_) {
      if (!data.empty()) out_(data);
      return;
    }
    while (!data.empty()) {
      std::size_t const n = std::min(data.size(), block_bytes_ - input_.size());
      input_.insert(input_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(n));
      data = data.subspan(n);
      if (input_.size() == block_bytes_) submit();
    }
  }

  void cut() {
    if (input_.size() >= kGzipBlockBytes) submit();
    cuts_here_.push_back(input_.size());
  }

  [[nodiscard]] const std::vector<std::uint64_t>& cuts() const noexcept { return cuts_; }

  void finish() {
    if (!workshop_) return;
    if (!input_.empty() || is_empty_) submit();
    while (!blocks_.empty()) write_front();
  }

 private:
  void submit() {
    is_empty_ = false;
    auto block = std::make_shared<Block>();
    block->input = std::exchange(input_, take_buffer());
    block->cuts = std::exchange(cuts_here_, {});
    blocks_.push_back(block);
    if (options_.pool != nullptr) {
      asio::post(*options_.pool, [workshop = workshop_, block] { workshop->try_pack(*block); });
    }
    while (!blocks_.empty() && workshop_->is_done(*blocks_.front())) write_front();
    while (!blocks_.empty() && blocks_.size() >= in_flight_max_) write_front();
  }

  /// Writes the oldest block; while somebody else packs it, packs others.
  void write_front() {
    std::shared_ptr<Block> const front = blocks_.front();
    for (const std::shared_ptr<Block>& block : blocks_) {
      if (workshop_->is_done(*front)) break;
      workshop_->try_pack(*block);
    }
    workshop_->wait_for(*front);
    if (front->failure) std::rethrow_exception(front->failure);
    out_(front->output);
    for (std::size_t const cut : front->cuts) cuts_.push_back(bytes_out_ + cut);
    bytes_out_ += front->output.size();
    blocks_.pop_front();
    // The pool's job may hold the block for long after this; it must not hold the bytes.
    front->output = std::vector<std::byte>();  // Assigning {} would keep the memory.
    front->input.clear();
    std::vector<std::byte> buffer = std::exchange(front->input, {});
    if (spare_.capacity() == 0) spare_ = std::move(buffer);
  }

  std::vector<std::byte> take_buffer() {
    std::vector<std::byte> buffer = std::exchange(spare_, {});
    buffer.reserve(block_bytes_);
    return buffer;
  }

  Options options_;
  std::size_t block_bytes_;
  std::size_t in_flight_max_ = 0;
  ByteFn out_;
  std::shared_ptr<Workshop> workshop_;  ///< Null for kNone.
  std::vector<std::byte> input_;
  std::vector<std::byte> spare_;
  std::deque<std::shared_ptr<Block>> blocks_;
  bool is_empty_ = true;
  std::vector<std::size_t> cuts_here_;  ///< In input_.
  std::vector<std::uint64_t> cuts_;     ///< In what was written.
  std::uint64_t bytes_out_ = 0;
};

DeflateStream::DeflateStream(Options options, ByteFn out)
    : impl_(std::make_unique<Impl>(options, std::move(out))) {}
DeflateStream::DeflateStream(DeflateStream&&) noexcept = default;
DeflateStream& DeflateStream::operator=(DeflateStream&&) noexcept = default;
DeflateStream::~DeflateStream() = default;

void DeflateStream::write(std::span<const std::byte> data) {
  impl_->write(data);
}
void DeflateStream::cut() {
  impl_->cut();
}
void DeflateStream::finish() {
  impl_->finish();
}
const std::vector<std::uint64_t>& DeflateStream::cuts() const noexcept {
  return impl_->cuts();
}

std::vector<std::byte> gzip_member(std::span<const std::byte> data, std::optional<int> level) {
  BlockCodec codec(Compression::kGzip, checked_level(Compression::kGzip, level));
  std::vector<std::byte> packed;
  codec.pack(data, packed);
  return packed;
}

}  // namespace cobuild::oci
