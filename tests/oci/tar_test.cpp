#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "oci/tar_builder.hpp"
#include "oci/tar_header.hpp"
#include "oci/tar_reader.hpp"

namespace cobuild::oci {
namespace {

using test::TarBuilder;

struct ReadEntry {
  TarEntry entry;
  std::string contents;
};

std::vector<ReadEntry> read_all(const std::string& archive, std::size_t piece = 1 << 20,
                                TarLimits limits = {}) {
  std::size_t at = 0;
  TarReader reader(
      [&]() -> std::span<const std::byte> {
        std::size_t const n = std::min(piece, archive.size() - at);
        auto const chunk = std::as_bytes(std::span(archive)).subspan(at, n);
        at += n;
        return chunk;
      },
      limits);
  std::vector<ReadEntry> entries;
  TarEntry entry;
  while (reader.next(entry)) {
    ReadEntry read{entry, std::string(entry.size, '\0')};
    for (TarData data = reader.read(); !data.bytes.empty(); data = reader.read()) {
      std::copy_n(reinterpret_cast<const char*>(data.bytes.data()), data.bytes.size(),
                  read.contents.begin() + static_cast<std::ptrdiff_t>(data.offset));
    }
    entries.push_back(std::move(read));
  }
  return entries;
}

struct HeaderCase {
  const char* name;
  TarHeader header;
  const char* sha256;  ///< Of what Go's archive/tar writes for the same header.
};

class HeaderBytes : public testing::TestWithParam<HeaderCase> {};

TEST_P(HeaderBytes, AreThoseOfGo) {
  EXPECT_EQ(Digest::of(format_tar_header(GetParam().header)).hex(), GetParam().sha256);
}

TEST_P(HeaderBytes, CanBeReadBack) {
  const TarHeader& header = GetParam().header;
  std::string archive = format_tar_header(header);
  archive += std::string(tar_end());
  // Sizes without contents cannot be read; only the header is looked at.
  TarReader reader([&, done = false]() mutable -> std::span<const std::byte> {
    if (std::exchange(done, true)) return {};
    return std::as_bytes(std::span(archive));
  });
  TarEntry entry;
  ASSERT_TRUE(reader.next(entry));
  EXPECT_EQ(entry.name, header.name);
  EXPECT_EQ(entry.link_name, header.link_name);
  EXPECT_EQ(entry.type, header.type);
  EXPECT_EQ(entry.mode, header.mode);
  EXPECT_EQ(entry.uid, header.uid);
  EXPECT_EQ(entry.gid, header.gid);
  EXPECT_EQ(entry.size, static_cast<std::uint64_t>(header.size));
  EXPECT_EQ(entry.mtime, header.mtime);
  EXPECT_EQ(entry.device_major, header.device_major);
  EXPECT_EQ(entry.device_minor, header.device_minor);
  EXPECT_EQ(entry.xattrs.size(), header.records.size());
}

std::string repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

std::vector<HeaderCase> header_cases() {
  using enum TarType;
  std::int64_t const t = 1700000000;
  return {
#include "oci/tar_header_cases.inc"
  };
}

INSTANTIATE_TEST_SUITE_P(Table, HeaderBytes, testing::ValuesIn(header_cases()),
                         [](const auto& info) { return std::string(info.param.name); });

/// A header block whose fields are set by hand; the checksum is right.
std::string raw_header(char type, std::string_view name, std::string_view size_field = "",
                       std::string_view magic = std::string_view("ustar  \0", 8)) {
  std::string block(kTarBlockBytes, '\0');
  auto put = [&](std::size_t at, std::string_view text) {
    std::copy(text.begin(), text.end(), block.begin() + static_cast<std::ptrdiff_t>(at));
  };
  put(0, name);
  put(100, "0000644");
  put(124, size_field);
  block[156] = type;
  put(257, magic);
  put(148, "        ");
  unsigned sum = 0;
  for (char const c : block) sum += static_cast<unsigned char>(c);
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  put(148, std::string_view(text, 7));
  return block;
}

std::string padded(std::string text) {
  return text + std::string(tar_padding(text.size()), '\0');
}

std::string pax_record(const std::string& key, const std::string& value) {
  for (std::size_t size = key.size() + value.size() + 3;; ++size) {
    std::string record = std::to_string(size) + " " + key + "=" + value + "\n";
    if (record.size() == size) return record;
  }
}

std::string pax_header(const std::string& records, char type = 'x') {
  char size[12];
  std::snprintf(size, sizeof size, "%011zo", records.size());
  return raw_header(type, "pax", size, std::string_view("ustar\00000", 8)) + padded(records);
}

std::string octal(std::size_t value) {
  char text[12];
  std::snprintf(text, sizeof text, "%011zo", value);
  return text;
}

TEST(TarReader, ReadsContentsInAnyPieces) {
  std::string const archive = TarBuilder()
                                  .directory("d")
                                  .file("d/a", "hello")
                                  .file("e")
                                  .file("f", std::string(1500, 'f'))
                                  .finish();
  for (std::size_t const piece : {1UL, 511UL, 512UL, 513UL, 100'000UL}) {
    std::vector<ReadEntry> const entries = read_all(archive, piece);
    ASSERT_EQ(entries.size(), 4U);
    EXPECT_EQ(entries[1].contents, "hello");
    EXPECT_EQ(entries[3].contents, std::string(1500, 'f'));
  }
}

TEST(TarReader, NoticesTruncationEverywhere) {
  std::string const archive =
      TarBuilder().directory("d").file("d/a", std::string(600, 'x')).finish();
  std::size_t const entries_end = archive.size() - 2 * kTarBlockBytes;
  for (std::size_t size = 0; size < archive.size(); ++size) {
    // An archive may end after a whole entry, or a whole zero block: Go takes that too.
    bool const is_good = size == 0 || size == kTarBlockBytes || size == entries_end ||
                         size == entries_end + kTarBlockBytes;
    if (is_good) {
      EXPECT_NO_THROW((void)read_all(archive.substr(0, size))) << size;
    } else {
      EXPECT_THROW((void)read_all(archive.substr(0, size)), Error) << size;
    }
  }
}

TEST(TarReader, NoticesFlippedBitsInHeaders) {
  std::string const archive = TarBuilder().file("name", "").finish();
  constexpr std::size_t kBehindTheSum = 155;  // A blank that says nothing.
  for (std::size_t at = 0; at < kTarBlockBytes; ++at) {
    if (at == kBehindTheSum) continue;
    std::string damaged = archive;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_THROW((void)read_all(damaged), Error) << at;
  }
}

TEST(TarReader, ReadsGnuLongNames) {
  std::string const name = "dir/" + repeat("n", 200);
  std::string const link = "to/" + repeat("l", 300);
  std::string const archive =
      raw_header('L', "././@LongLink", octal(name.size() + 1)) + padded(name + '\0') +
      raw_header('K', "././@LongLink", octal(link.size() + 1)) + padded(link + '\0') +
      raw_header('2', "short") + std::string(tar_end());
  std::vector<ReadEntry> const entries = read_all(archive);
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].entry.name, name);
  EXPECT_EQ(entries[0].entry.link_name, link);
}

TEST(TarReader, ReadsBase256Sizes) {
  std::string const size = std::string("\x80\0\0\0\0\0\0\0\0\0\0\x05", 12);
  std::vector<ReadEntry> const entries =
      read_all(raw_header('0', "f", size) + padded("hello") + std::string(tar_end()));
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].contents, "hello");
}

TEST(TarReader, OldArchivesNameDirectoriesWithSlashes) {
  std::vector<ReadEntry> const entries = read_all(
      raw_header('\0', "d/", "", "") + raw_header('\0', "f", "", "") + std::string(tar_end()));
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].entry.type, TarType::kDirectory);
  EXPECT_EQ(entries[1].entry.type, TarType::kRegular);
}

TEST(TarReader, ReadsPaxTimesAndXattrs) {
  std::string const records = pax_record("mtime", "1700000000.123456789") +
                              pax_record("SCHILY.xattr.user.k", "v=1") + pax_record("comment", "x");
  std::vector<ReadEntry> entries =
      read_all(pax_header(records) + raw_header('0', "f") + std::string(tar_end()));
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].entry.mtime, 1'700'000'000);
  EXPECT_EQ(entries[0].entry.mtime_ns, 123'456'789U);
  ASSERT_EQ(entries[0].entry.xattrs.size(), 1U);
  EXPECT_EQ(entries[0].entry.xattrs[0], std::pair(std::string("user.k"), std::string("v=1")));

  entries = read_all(pax_header(pax_record("mtime", "-1.25")) + raw_header('0', "f") +
                     std::string(tar_end()));
  EXPECT_EQ(entries[0].entry.mtime, -2);
  EXPECT_EQ(entries[0].entry.mtime_ns, 750'000'000U);
}

TEST(TarReader, IgnoresGlobalHeaders) {
  std::vector<ReadEntry> const entries = read_all(pax_header(pax_record("path", "evil"), 'g') +
                                                  raw_header('0', "f") + std::string(tar_end()));
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].entry.name, "f");
}

TEST(TarReader, OnlyFilesHaveContents) {
  // The size of a hard link is that of the file; nothing follows.
  std::vector<ReadEntry> const entries =
      read_all(raw_header('1', "l", octal(700)) + raw_header('0', "f") + std::string(tar_end()));
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].entry.size, 0U);
}

struct BadArchive {
  const char* name;
  std::string bytes;
  const char* complaint;
};

class BadArchives : public testing::TestWithParam<BadArchive> {};

TEST_P(BadArchives, AreRefused) {
  try {
    (void)read_all(GetParam().bytes, 1 << 20,
                   TarLimits{.entries_max = 10, .extended_bytes_max = 8192});
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(error.what(), testing::HasSubstr(GetParam().complaint));
  }
}

std::vector<BadArchive> bad_archives() {
  std::string const end(tar_end());
  std::string const zero(kTarBlockBytes, '\0');
  TarBuilder many;
  for (int i = 0; i < 11; ++i) many.file("f");
  return {
      {"NoTar", std::string(600, 'x'), "checksum"},
      {"NegativeSize", raw_header('0', "f", std::string(12, '\xff')) + end, "negative size"},
      {"SizeBeyondAnything", raw_header('0', "f", "\xbf" + std::string(11, '\xff')) + end,
       "too large"},
      {"SizeNotOctal", raw_header('0', "f", "0000000009") + end, "bad number for size"},
      {"UnknownType", raw_header('Z', "f") + end, "unhandled tar header type 90"},
      {"ZeroBlockInTheMiddle", zero + raw_header('0', "f") + end, "zero block"},
      {"RecordWithoutNewline", pax_header("10 path=abc") + raw_header('0', "f") + end,
       "bad extended header"},
      {"RecordLengthZero", pax_header("0 path=abc\n") + raw_header('0', "f") + end,
       "bad extended header"},
      {"RecordLengthHuge", pax_header("99999999999999999999 path=a\n") + end,
       "bad extended header"},
      {"RecordPastTheEnd", pax_header("400 path=a\n") + end, "bad extended header"},
      {"RecordWithoutEquals", pax_header("7 path\n") + end, "bad extended header"},
      {"NameWithNul",
       pax_header(pax_record("path", std::string("a\0b", 3))) + raw_header('0', "f") + end, "NUL"},
      {"NameTooLong",
       pax_header(pax_record("path", std::string(5000, 'n'))) + raw_header('0', "f") + end,
       "too long"},
      {"ExtendedHeaderTooLong",
       raw_header('x', "p", octal(8193)) + padded(std::string(8193, 'x')) + end, "too long"},
      {"UidNegative", pax_header(pax_record("uid", "-1")) + raw_header('0', "f") + end, "uid -1"},
      {"UidTooLarge", pax_header(pax_record("uid", "4294967295")) + raw_header('0', "f") + end,
       "out of range"},
      {"TooManyEntries", many.finish(), "more than 10 entries"},
      {"SparseOverlap",
       pax_header(pax_record("GNU.sparse.map", "0,4,2,4") + pax_record("GNU.sparse.size", "8")) +
           raw_header('0', "f", octal(8)) + padded("12345678") + end,
       "sparse map"},
      {"SparsePastTheEnd",
       pax_header(pax_record("GNU.sparse.map", "4,8") + pax_record("GNU.sparse.size", "8")) +
           raw_header('0', "f", octal(8)) + padded("12345678") + end,
       "sparse map"},
      {"SparseStoresLess",
       pax_header(pax_record("GNU.sparse.map", "0,4") + pax_record("GNU.sparse.size", "8")) +
           raw_header('0', "f", octal(8)) + padded("12345678") + end,
       "sparse map"},
  };
}

INSTANTIATE_TEST_SUITE_P(Table, BadArchives, testing::ValuesIn(bad_archives()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(TarReader, ReadsSparseMaps) {
  std::string const expected = std::string("ab\0\0\0\0cd\0\0", 10);
  std::string const contents = padded("abcd");
  std::string const end(tar_end());
  std::string const v01 =
      pax_header(pax_record("GNU.sparse.name", "real") + pax_record("GNU.sparse.size", "10") +
                 pax_record("GNU.sparse.map", "0,2,6,2")) +
      raw_header('0', "GNUSparseFile.0/real", octal(4)) + contents + end;
  std::string const v00 =
      pax_header(pax_record("GNU.sparse.size", "10") + pax_record("GNU.sparse.numblocks", "2") +
                 pax_record("GNU.sparse.offset", "0") + pax_record("GNU.sparse.numbytes", "2") +
                 pax_record("GNU.sparse.offset", "6") + pax_record("GNU.sparse.numbytes", "2")) +
      raw_header('0', "real", octal(4)) + contents + end;
  std::string const map = padded("2\n0\n2\n6\n2\n");
  std::string const v10 =
      pax_header(pax_record("GNU.sparse.major", "1") + pax_record("GNU.sparse.minor", "0") +
                 pax_record("GNU.sparse.name", "real") + pax_record("GNU.sparse.realsize", "10")) +
      raw_header('0', "GNUSparseFile.0/real", octal(map.size() + 4)) + map + contents + end;
  for (const std::string& archive : {v00, v01, v10}) {
    std::vector<ReadEntry> const entries = read_all(archive + end);
    ASSERT_EQ(entries.size(), 1U);
    EXPECT_EQ(entries[0].entry.name, "real");
    EXPECT_EQ(entries[0].contents, expected);
  }
}

}  // namespace
}  // namespace cobuild::oci
