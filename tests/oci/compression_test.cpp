#include "oci/compression.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <future>
#include <random>
#include <string>

#include "core/base/error.hpp"

namespace cobuild::oci {
namespace {

std::span<const std::byte> bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

void append(std::string& to, std::span<const std::byte> data) {
  to.append(reinterpret_cast<const char*>(data.data()), data.size());
}

std::string deflate(std::string_view text, DeflateStream::Options options, std::size_t piece) {
  std::string out;
  DeflateStream stream(options, [&](std::span<const std::byte> data) { append(out, data); });
  for (std::size_t at = 0; at < text.size(); at += piece)
    stream.write(bytes(text.substr(at, piece)));
  stream.finish();
  return out;
}

std::string inflate(std::string_view text, std::size_t piece, InflateStream::Options options = {}) {
  std::string out;
  InflateStream stream(options, [&](std::span<const std::byte> data) { append(out, data); });
  for (std::size_t at = 0; at < text.size(); at += piece)
    stream.write(bytes(text.substr(at, piece)));
  stream.finish();
  return out;
}

/// Compressible, but not trivially.
std::string sample(std::size_t size, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < size)
    text += std::to_string(random() % 5000) + (random() % 7 == 0 ? "\n" : " ");
  text.resize(size);
  return text;
}

class EachCompression : public testing::TestWithParam<Compression> {};

TEST_P(EachCompression, GivesBackWhatItWasGiven) {
  for (std::size_t const size :
       {0UL, 1UL, 3UL, 4096UL, (1UL << 20), (1UL << 20) + 1, 9'000'000UL}) {
    std::string const text = sample(size);
    std::string const packed = deflate(text, {.compression = GetParam(), .level = {}}, 700'001);
    EXPECT_TRUE(inflate(packed, 65536) == text) << size;
    EXPECT_TRUE(inflate(packed, packed.size() + 1) == text) << size;
  }
}

TEST_P(EachCompression, BytesDoNotDependOnThreadsOrPieces) {
  std::string const text = sample(9'500'000, 7);
  std::string const alone = deflate(text, {.compression = GetParam(), .level = {}}, 1 << 20);
  for (unsigned const threads : {1U, 2U, 4U}) {
    asio::thread_pool pool(threads);
    for (std::size_t const piece : {10'000UL, 3'000'000UL}) {
      DeflateStream::Options const options{
          .compression = GetParam(), .level = {}, .pool = &pool, .blocks_max = 3};
      EXPECT_TRUE(deflate(text, options, piece) == alone) << threads << " threads";
    }
  }
}

TEST_P(EachCompression, FinishesWhileThePoolDoesOtherThings) {
  asio::thread_pool pool(1);
  std::promise<void> release;
  asio::post(pool, [&] { release.get_future().wait(); });
  std::string const text = sample(5'000'000);
  std::string const packed =
      deflate(text, {.compression = GetParam(), .level = {}, .pool = &pool}, 1 << 20);
  release.set_value();
  EXPECT_TRUE(inflate(packed, 1 << 20) == text);
}

TEST_P(EachCompression, InputMayComeByteByByte) {
  std::string const text = sample(30'000);
  std::string const packed = deflate(text, {.compression = GetParam(), .level = {}}, 100);
  EXPECT_TRUE(inflate(packed, 1) == text);
}

TEST_P(EachCompression, CanBeGivenUp) {
  asio::thread_pool pool(2);
  DeflateStream stream({.compression = GetParam(), .level = {}, .pool = &pool},
                       [](std::span<const std::byte>) {});
  stream.write(bytes(sample(6'000'000)));
}

INSTANTIATE_TEST_SUITE_P(All, EachCompression,
                         testing::Values(Compression::kNone, Compression::kGzip,
                                         Compression::kZstd),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST(Inflate, NoticesEveryTruncation) {
  for (Compression const compression : {Compression::kGzip, Compression::kZstd}) {
    std::string const packed =
        deflate(sample(3000), {.compression = compression, .level = {}}, 3000);
    for (std::size_t size = kCompressionMagicBytes; size < packed.size(); ++size) {
      EXPECT_THROW((void)inflate(packed.substr(0, size), 512), Error)
          << to_string(compression) << " cut to " << size;
    }
  }
}

TEST(Inflate, NoticesFlippedBitsInGzip) {
  std::string const text = sample(2000);
  std::string const packed = deflate(text, {.compression = Compression::kGzip, .level = {}}, 3000);
  for (std::size_t at = 10; at < packed.size(); ++at) {  // Before that: time and other decoration.
    std::string damaged = packed;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_THROW((void)inflate(damaged, 512), Error) << at;
  }
}

TEST(Inflate, SkipsZerosAfterGzip) {
  std::string const packed = deflate("text", {.compression = Compression::kGzip, .level = {}}, 9);
  EXPECT_EQ(inflate(packed + std::string(600, '\0'), 100), "text");
  EXPECT_THROW((void)inflate(packed + "garbage", 100), Error);
}

TEST(Inflate, RefusesBombs) {
  std::string const packed = deflate(std::string(3'000'000, 'x'),
                                     {.compression = Compression::kGzip, .level = {}}, 1 << 20);
  EXPECT_LT(packed.size(), 20'000U);
  InflateStream::Options options;
  options.output_bytes_max = 2'999'999;
  EXPECT_THROW((void)inflate(packed, 4096, options), Error);
  options.output_bytes_max = 3'000'000;
  EXPECT_EQ(inflate(packed, 4096, options).size(), 3'000'000U);
}

TEST(Inflate, RefusesHugeZstdWindows) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 28);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
  std::string packed(1000, '\0');
  ZSTD_inBuffer in{"some", 4, 0};
  ZSTD_outBuffer out{packed.data(), packed.size(), 0};
  // Flushed first: a stream whose end is known gets the small window that it needs.
  while (ZSTD_compressStream2(context, &out, &in, ZSTD_e_flush) != 0) {
  }
  while (ZSTD_compressStream2(context, &out, &in, ZSTD_e_end) != 0) {
  }
  ZSTD_freeCCtx(context);
  packed.resize(out.pos);
  EXPECT_THROW((void)inflate(packed, 4096), Error);
}

TEST(Inflate, ShortStreamsArePlain) {
  for (std::string_view const text : {"", "a", "abc", "\x1f"}) EXPECT_EQ(inflate(text, 1), text);
}

/// F4.5.16.
TEST(Deflate, GzipHasNeitherNameNorTime) {
  std::string const packed = deflate("text", {.compression = Compression::kGzip, .level = {}}, 4);
  ASSERT_GT(packed.size(), 10U);
  EXPECT_EQ(packed.substr(0, 8), std::string("\x1F\x8B\x08\0\0\0\0\0", 8));
}

/// F4.2.14.
TEST(Deflate, ChecksLevels) {
  auto make = [](Compression compression, int level) {
    DeflateStream({.compression = compression, .level = level}, [](std::span<const std::byte>) {});
  };
  EXPECT_NO_THROW(make(Compression::kGzip, 0));
  EXPECT_NO_THROW(make(Compression::kGzip, 9));
  EXPECT_THROW(make(Compression::kGzip, 10), Error);
  EXPECT_NO_THROW(make(Compression::kZstd, 22));
  EXPECT_THROW(make(Compression::kZstd, 23), Error);
  EXPECT_THROW(make(Compression::kZstd, -1), Error);
}

TEST(Deflate, PassesOnWhatTheSinkThrows) {
  DeflateStream stream(
      {.compression = Compression::kGzip, .level = {}},
      [](std::span<const std::byte>) { throw Error(ErrorKind::kUnavailable, "full"); });
  EXPECT_THROW(
      {
        stream.write(bytes(sample(2'000'000)));
        stream.finish();
      },
      Error);
}

}  // namespace
}  // namespace cobuild::oci
