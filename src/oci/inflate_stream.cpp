#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "oci/compression.hpp"

namespace cobuild::oci {

namespace {

/// Fits into the second-level cache, so that what follows (hash, copy) reads it from there.
constexpr std::size_t kOutputBytes = 256 * 1024;

constexpr std::array kGzipMagic{std::byte{0x1f}, std::byte{0x8b}};
constexpr std::array kZstdMagic{std::byte{0x28}, std::byte{0xb5}, std::byte{0x2f}, std::byte{0xfd}};

[[noreturn]] void throw_corrupt(const std::string& what) {
  throw Error(ErrorKind::kCorrupt, "unpacking a blob: " + what);
}

std::string_view describe_inflate_error(int code) noexcept {
  switch (code) {
    case ISAL_INVALID_BLOCK: return "bad deflate block";
    case ISAL_INVALID_SYMBOL: return "bad deflate symbol";
    case ISAL_INVALID_LOOKBACK: return "deflate reaches back before the start";
    case ISAL_INVALID_WRAPPER: return "bad gzip header";
    case ISAL_UNSUPPORTED_METHOD: return "gzip with a method other than deflate";
    case ISAL_INCORRECT_CHECKSUM: return "gzip checksum does not match";
    default: return "bad gzip data";
  }
}

/// One of the formats: bytes in, bytes to `emit`.
class Codec {
 public:
  virtual ~Codec() = default;
  virtual void write(std::span<const std::byte> data, const ByteFn& emit) = 0;
  /// Whether the input may end here.
  [[nodiscard]] virtual bool is_complete() const noexcept = 0;
};

class PlainCodec final : public Codec {
 public:
  void write(std::span<const std::byte> data, const ByteFn& emit) override {
    while (!data.empty()) {
      std::size_t const n = std::min(data.size(), kOutputBytes);
      emit(data.first(n));
      data = data.subspan(n);
    }
  }
  [[nodiscard]] bool is_complete() const noexcept override { return true; }
};

class GzipCodec final : public Codec {
 public:
  GzipCodec() : state_(std::make_unique<inflate_state>()), output_(kOutputBytes) { start_member(); }

  void write(std::span<const std::byte> data, const ByteFn& emit) override {
    while (!data.empty()) {
      if (!in_member_ && !skip_to_member(data)) return;
      state_->next_in =
          const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(data.data()));
      state_->avail_in = static_cast<std::uint32_t>(std::min(data.size(), kInputMax));
      std::uint32_t const given = state_->avail_in;
      inflate(emit);
      data = data.subspan(given - state_->avail_in);
    }
  }

  [[nodiscard]] bool is_complete() const noexcept override { return !in_member_; }

 private:
  static constexpr std::size_t kInputMax = std::size_t{1} << 30;

  void start_member() {
    isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

  /// Between members: zero padding is skipped, as gzip does. False when nothing is left.
  bool skip_to_member(std::span<const std::byte>& data) {
    while (!data.empty() && data.front() == std::byte{0} && had_member_) data = data.subspan(1);
    if (data.empty()) return false;
    start_member();
    in_member_ = true;
    return true;
  }

  /// Until the input is used up or the member ends.
  void inflate(const ByteFn& emit) {
    for (;;) {
      state_->next_out = reinterpret_cast<std::uint8_t*>(output_.data());
      state_->avail_out = static_cast<std::uint32_t>(output_.size());
      std::uint32_t const before = state_->avail_in;
      int const result = isal_inflate(state_.get());
      if (result < 0 || result == ISAL_NEED_DICT) {
        throw_corrupt(std::string(describe_inflate_error(result)));
      }
      std::size_t const produced = output_.size() - state_->avail_out;
      if (produced > 0) emit(std::span(output_).first(produced));
      if (state_->block_state == ISAL_BLOCK_FINISH) {
        in_member_ = false;
        had_member_ = true;
        return;
      }
      if (produced == 0 && state_->avail_in == 0) return;
      if (produced == 0 && state_->avail_in == before) throw_corrupt("gzip data makes no progress");
    }
  }

  std::unique_ptr<inflate_state> state_;
  std::vector<std::byte> output_;
  bool in_member_ = false;
  bool had_member_ = false;
};

class ZstdCodec final : public Codec {
 public:
  explicit ZstdCodec(int window_log_max) : stream_(ZSTD_createDStream()), output_(kOutputBytes) {
    if (!stream_) throw Error(ErrorKind::kInternal, "zstd: out of memory");
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, window_log_max);
  }

  void write(std::span<const std::byte> data, const ByteFn& emit) override {
    ZSTD_inBuffer in{data.data(), data.size(), 0};
    for (;;) {
      ZSTD_outBuffer out{output_.data(), output_.size(), 0};
      std::size_t const result = ZSTD_decompressStream(stream_.get(), &out, &in);
      if (ZSTD_isError(result) != 0)
        throw_corrupt(std::string("zstd: ") + ZSTD_getErrorName(result));
      if (out.pos > 0) emit(std::span(output_).first(out.pos));
      expects_more_ = result != 0;
      // At the end of a frame another call would begin the next one.
      if (in.pos == in.size && (!expects_more_ || out.pos < out.size)) return;
    }
  }

  [[nodiscard]] bool is_complete() const noexcept override { return !expects_more_; }

 private:
  struct Free {
    void operator()(ZSTD_DStream* stream) const noexcept { ZSTD_freeDStream(stream); }
  };
  std::unique_ptr<ZSTD_DStream, Free> stream_;
  std::vector<std::byte> output_;
  bool expects_more_ = true;
};

template <std::size_t N>
bool starts_with(std::span<const std::byte> data, const std::array<std::byte, N>& magic) noexcept {
  return data.size() >= N && std::equal(magic.begin(), magic.end(), data.begin());
}

/// A zstd stream may begin with a frame to skip (pzstd's and zstd:chunked's): 0x184D2A50 to …5F.
bool is_skippable_frame(std::span<const std::byte> data) noexcept {
  return data.size() >= 4 && (data[0] & std::byte{0xf0}) == std::byte{0x50} &&
         data[1] == std::byte{0x2a} && data[2] == std::byte{0x4d} && data[3] == std::byte{0x18};
}

}  // namespace

std::string_view to_string(Compression compression) noexcept {
  switch (compression) {
    case Compression::kNone: return "uncompressed";
    case Compression::kGzip: return "gzip";
    case Compression::kZstd: return "zstd";
  }
  return "unknown";
}

std::optional<Compression> try_parse_compression(std::string_view text) noexcept {
  for (Compression const c : {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    if (text == to_string(c)) return c;
  }
  return std::nullopt;
}

Compression detect_compression(std::span<const std::byte> head) noexcept {
  if (starts_with(head, kGzipMagic)) return Compression::kGzip;
  if (starts_with(head, kZstdMagic) || is_skippable_frame(head)) return Compression::kZstd;
  return Compression::kNone;
}

class InflateStream::Impl {
 public:
  Impl(Options options, ByteFn out) : options_(options), out_(std::move(out)) {
    emit_ = [this](std::span<const std::byte> data) {
      bytes_out_ += data.size();
      if (bytes_out_ > options_.output_bytes_max) {
        throw_corrupt("more than " + std::to_string(options_.output_bytes_max) +
                      " bytes unpacked: refusing what looks like a bomb");
      }
      out_(data);
    };
  }

  void write(std::span<const std::byte> data) {
    while (!codec_ && !data.empty()) {
      if (head_size_ == 0 && data.size() >= kCompressionMagicBytes) {
        choose(data.first(kCompressionMagicBytes));
      } else {
        head_[head_size_++] = data.front();
        data = data.subspan(1);
        if (head_size_ == kCompressionMagicBytes) choose_by_head();
      }
    }
    if (codec_ && !data.empty()) codec_->write(data, emit_);
  }

  void finish() {
    if (!codec_) choose_by_head();
    if (!codec_->is_complete()) {
      throw_corrupt(std::string(to_string(compression_)) + " data ends early");
    }
  }

  [[nodiscard]] Compression compression() const noexcept { return compression_; }
  [[nodiscard]] std::uint64_t bytes_out() const noexcept { return bytes_out_; }

 private:
  void choose(std::span<const std::byte> head) {
    compression_ = detect_compression(head);
    switch (compression_) {
      case Compression::kNone: codec_ = std::make_unique<PlainCodec>(); break;
      case Compression::kGzip: codec_ = std::make_unique<GzipCodec>(); break;
      case Compression::kZstd:
        codec_ = std::make_unique<ZstdCodec>(options_.zstd_window_log_max);
        break;
    }
  }

  void choose_by_head() {
    std::span<const std::byte> const head = std::span(head_).first(head_size_);
    choose(head);
    if (!head.empty()) codec_->write(head, emit_);
  }

  Options options_;
  ByteFn out_;
  ByteFn emit_;
  std::array<std::byte, kCompressionMagicBytes> head_{};
  std::size_t head_size_ = 0;
  Compression compression_ = Compression::kNone;
  std::unique_ptr<Codec> codec_;
  std::uint64_t bytes_out_ = 0;
};

InflateStream::InflateStream(Options options, ByteFn out)
    : impl_(std::make_unique<Impl>(options, std::move(out))) {}
InflateStream::InflateStream(InflateStream&&) noexcept = default;
InflateStream& InflateStream::operator=(InflateStream&&) noexcept = default;
InflateStream::~InflateStream() = default;

void InflateStream::write(std::span<const std::byte> data) {
  impl_->write(data);
}
void InflateStream::finish() {
  impl_->finish();
}
Compression InflateStream::compression() const noexcept {
  return impl_->compression();
}
std::uint64_t InflateStream::bytes_out() const noexcept {
  return impl_->bytes_out();
}

}  // namespace cobuild::oci
