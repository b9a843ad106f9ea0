#include "oci/layer_diff.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/thread_pool.hpp>

#include <sstream>
#include <string>

#include "core/base/error.hpp"
#include "oci/layer_tree.hpp"
#include "oci/tar_builder.hpp"
#include "oci/tar_reader.hpp"

namespace cobuild::oci {
namespace {

namespace fs = std::filesystem;
using test::make_opaque;
using test::make_whiteout;
using test::Scratch;
using test::set_time;
using test::tar_of;
using test::write_text;

constexpr std::int64_t kTime = 1'600'000'000;

/// The entries of a tar, one line each, in order.
std::string list(const std::string& tar) {
  bool done = false;
  TarReader reader([&]() -> std::span<const std::byte> {
    if (std::exchange(done, true)) return {};
    return std::as_bytes(std::span(tar));
  });
  std::ostringstream out;
  TarEntry entry;
  while (reader.next(entry)) {
    out << entry.name;
    if (!entry.link_name.empty())
      out << (entry.type == TarType::kHardLink ? " = " : " -> ") << entry.link_name;
    if (entry.type == TarType::kRegular && entry.size > 0) out << " (" << entry.size << ")";
    out << "\n";
  }
  return out.str();
}

class LayerDiff : public testing::Test {
 protected:
  void SetUp() override {
    if (!test::can_make_whiteouts()) GTEST_SKIP() << "mknod is not permitted here";
  }

  /// A file with a whole second as its time, as unpacked from a layer.
  static void add(const fs::path& path, std::string_view text, std::int64_t time = kTime) {
    fs::create_directories(path.parent_path());
    write_text(path, text);
    set_time(path, time);
  }

  [[nodiscard]] std::string diff() const { return list(tar_of(upper_, {lower_})); }

  Scratch scratch_;
  fs::path lower_ = scratch_.make("lower");
  fs::path upper_ = scratch_.make("upper");
};

/// F4.5.15, as the tests below.
TEST_F(LayerDiff, EntriesComeInWalkOrder) {
  for (const char* name : {"b", "a/z", "a/a", "a.txt", "a-b", "a0"}) add(upper_ / name, "x");
  EXPECT_EQ(diff(), "a/\na/a (1)\na/z (1)\na-b (1)\na.txt (1)\na0 (1)\nb (1)\n");
}

TEST_F(LayerDiff, HasTheBytesOfGoForEveryEntry) {
  add(upper_ / "a", "a\n");
  ASSERT_EQ(::chmod((upper_ / "a").c_str(), 0644), 0);
  struct stat status{};
  ASSERT_EQ(::lstat((upper_ / "a").c_str(), &status), 0);
  TarHeader const header{
      .name = "a", .mode = 0644, .uid = status.st_uid, .gid = status.st_gid, .mtime = kTime};
  EXPECT_EQ(tar_of(upper_), test::TarBuilder().add(header, "a\n").finish());
}

/// F10.80.
TEST_F(LayerDiff, WhiteoutsOnlyForWhatIsBelow) {
  add(lower_ / "etc/gone", "x");
  fs::create_directories(upper_ / "etc");
  make_whiteout(upper_ / "etc/gone");
  make_whiteout(upper_ / "etc/never");
  make_whiteout(upper_ / "nothing");
  EXPECT_EQ(diff(), "etc/\netc/.wh.gone\n");
}

TEST_F(LayerDiff, WhiteoutsAreAllZero) {
  add(lower_ / "gone", "x");
  make_whiteout(upper_ / "gone");
  TarHeader const header{.name = ".wh.gone"};
  EXPECT_EQ(tar_of(upper_, {lower_}), test::TarBuilder().add(header).finish());
}

/// F10.80: a replaced directory lists explicit whiteouts.
TEST_F(LayerDiff, OpaqueDirectoriesBecomeWhiteouts) {
  add(lower_ / "d/a", "x");
  add(lower_ / "d/sub/deep", "x");
  add(lower_ / "d/same", "same");
  add(lower_ / "d/turned", "file");
  add(lower_ / "d/zdir/inside", "x");
  add(upper_ / "d/b", "new");
  add(upper_ / "d/same", "same");
  add(upper_ / "d/turned/now", "a directory");
  add(upper_ / "d/zdir", "now a file");
  make_opaque(upper_ / "d");
  EXPECT_EQ(diff(), "d/\nd/.wh.a\nd/b (3)\nd/.wh.sub\nd/turned/\nd/turned/now (11)\nd/zdir (10)\n");
}

TEST_F(LayerDiff, OpaqueWithoutAnythingBelowIsPlain) {
  add(upper_ / "d/b", "new");
  make_opaque(upper_ / "d");
  EXPECT_EQ(diff(), "d/\nd/b (3)\n");
}

TEST_F(LayerDiff, ADirectoryReplacedByAFileIsJustTheFile) {
  add(lower_ / "d/a", "x");
  add(upper_ / "d", "file");
  EXPECT_EQ(diff(), "d (4)\n");
}

/// F10.82, F1.6.25.
TEST_F(LayerDiff, DirectoryTimesAreNoChange) {
  fs::create_directories(lower_ / "d");
  fs::create_directories(upper_ / "d");
  set_time(lower_ / "d", 1);
  set_time(upper_ / "d", 2);
  EXPECT_EQ(diff(), "");
  ASSERT_EQ(::chmod((upper_ / "d").c_str(), 0700), 0);
  EXPECT_EQ(diff(), "d/\n");
}

TEST_F(LayerDiff, ParentsComeBeforeWhatChangedInThem) {
  fs::create_directories(lower_ / "a/b/c");
  fs::create_directories(upper_ / "a/b/c");
  add(upper_ / "a/b/c/f", "x");
  add(upper_ / "a/b/g", "x");
  EXPECT_EQ(diff(), "a/\na/b/\na/b/c/\na/b/c/f (1)\na/b/g (1)\n");
}

/// F10.19.
TEST_F(LayerDiff, IdenticalFilesAreLeftOut) {
  add(lower_ / "f", "same");
  add(upper_ / "f", "same");
  EXPECT_EQ(diff(), "");
  write_text(upper_ / "f", "diff");
  set_time(upper_ / "f", kTime);
  EXPECT_EQ(diff(), "f (4)\n") << "equal metadata with whole seconds: contents are compared";
  set_time(upper_ / "f", kTime, 5);
  set_time(lower_ / "f", kTime, 5);
  EXPECT_EQ(diff(), "") << "with nanoseconds the metadata decides";
  set_time(upper_ / "f", kTime, 6);
  EXPECT_EQ(diff(), "f (4)\n");
}

TEST_F(LayerDiff, IdenticalSymlinksAreLeftOut) {
  fs::create_symlink("target", lower_ / "l");
  fs::create_symlink("target", upper_ / "l");
  set_time(lower_ / "l", kTime);
  set_time(upper_ / "l", kTime);
  EXPECT_EQ(diff(), "");
  fs::remove(upper_ / "l");
  fs::create_symlink("tarGet", upper_ / "l");
  set_time(upper_ / "l", kTime);
  EXPECT_EQ(diff(), "l -> tarGet\n");
}

TEST_F(LayerDiff, SeesThroughSeveralLayers) {
  fs::path const middle = scratch_.make("middle");
  add(lower_ / "hidden/f", "x");
  add(lower_ / "gone", "x");
  add(lower_ / "kept", "x");
  fs::create_directories(middle / "hidden");
  make_opaque(middle / "hidden");
  make_whiteout(middle / "gone");
  fs::create_directories(upper_ / "hidden");
  make_whiteout(upper_ / "hidden/f");  // Hidden by the middle already.
  make_whiteout(upper_ / "gone");
  make_whiteout(upper_ / "kept");
  EXPECT_EQ(list(tar_of(upper_, {lower_, middle})), ".wh.kept\n");
}

TEST_F(LayerDiff, HardLinksStayLinks) {
  add(upper_ / "a", "xy");
  fs::create_hard_link(upper_ / "a", upper_ / "b");
  fs::create_directories(upper_ / "d");
  fs::create_hard_link(upper_ / "a", upper_ / "d/c");
  EXPECT_EQ(diff(), "a (2)\nb = a\nd/\nd/c = a\n");
}

TEST_F(LayerDiff, UnchangedNamesOfAChangedFileAreLinked) {
  // In an opaque directory all names are listed, so those that are as below must be told apart.
  add(lower_ / "d/a", "old");
  fs::create_hard_link(lower_ / "d/a", lower_ / "d/b");
  add(upper_ / "d/a", "old");
  fs::create_hard_link(upper_ / "d/a", upper_ / "d/b");
  fs::create_hard_link(upper_ / "d/a", upper_ / "d/c");
  make_opaque(upper_ / "d");
  EXPECT_EQ(diff(), "d/\nd/c (3)\nd/a = d/c\nd/b = d/c\n");
}

TEST_F(LayerDiff, SocketsAreLeftOut) {  // F4.5.15
  int const fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string const path = (upper_ / "s").string();
  ASSERT_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(fd);
  ASSERT_EQ(::mkfifo((upper_ / "t").c_str(), 0600), 0);
  EXPECT_EQ(diff(), "t\n");
}

TEST_F(LayerDiff, DevicesKeepTheirNumbers) {
  if (::mknod((upper_ / "null").c_str(), S_IFCHR | 0666, makedev(1, 3)) != 0) {
    GTEST_SKIP() << "devices cannot be made here";
  }
  set_time(upper_ / "null", kTime);
  ASSERT_EQ(::chmod((upper_ / "null").c_str(), 0666), 0);
  TarHeader const header{.name = "null",
                         .type = TarType::kCharDevice,
                         .mode = 0666,
                         .mtime = kTime,
                         .device_major = 1,
                         .device_minor = 3};
  EXPECT_EQ(tar_of(upper_), test::TarBuilder().add(header).finish());
}

/// F10.83, F4.5.15, F4.6.2.
TEST_F(LayerDiff, TimesAreWholeSecondsAndMayBeClamped) {
  add(upper_ / "late", "x");
  set_time(upper_ / "late", kTime, 999'999'999);
  auto time_of = [&](const DiffOptions& options) {
    std::string const tar = tar_of(upper_, {}, options);
    return std::stoll(tar.substr(136, 11), nullptr, 8);
  };
  EXPECT_EQ(time_of({}), kTime);
  EXPECT_EQ(time_of({.mtime_max = Timestamp(std::chrono::seconds(1000))}), 1000);
  EXPECT_EQ(time_of({.mtime_max = Timestamp(std::chrono::seconds(kTime + 5))}), kTime);
}

/// F10.84.
TEST_F(LayerDiff, OnlyCapabilitiesAreKeptOfXattrs) {
  add(upper_ / "ping", "x");
  ASSERT_EQ(::setxattr((upper_ / "ping").c_str(), "user.mine", "v", 1, 0), 0);
  std::string const capability("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  if (::setxattr((upper_ / "ping").c_str(), "security.capability", capability.data(),
                 capability.size(), 0) != 0) {
    GTEST_SKIP() << "capabilities cannot be set here";
  }
  std::string const tar = tar_of(upper_);
  EXPECT_NE(tar.find("SCHILY.xattr.security.capability=" + capability), std::string::npos);
  EXPECT_EQ(tar.find("user.mine"), std::string::npos);
}

TEST_F(LayerDiff, RedirectedDirectoriesAreRefused) {
  fs::create_directories(upper_ / "d");
  ASSERT_EQ(::setxattr((upper_ / "d").c_str(), "user.overlay.redirect", "e", 1, 0), 0);
  EXPECT_THROW((void)diff(), Error);
}

/// Several layers as one: what the higher hide of the lower is not there, and what they hide of those
/// below is still said.
class SquashedLayers : public LayerDiff {
 protected:
  [[nodiscard]] std::string squashed() const {
    std::string tar;
    write_layer_tar({first_, second_, third_}, {lower_}, {}, [&](std::span<const std::byte> data) {
      tar.append(reinterpret_cast<const char*>(data.data()), data.size());
    });
    return list(tar);
  }

  fs::path first_ = scratch_.make("first");
  fs::path second_ = scratch_.make("second");
  fs::path third_ = scratch_.make("third");
};

TEST_F(SquashedLayers, TheHighestWins) {
  add(first_ / "d/a", "1");
  add(first_ / "d/b", "1");
  add(second_ / "d/a", "22");
  add(third_ / "d/c", "333");
  EXPECT_EQ(squashed(), "d/\nd/a (2)\nd/b (1)\nd/c (3)\n");
}

TEST_F(SquashedLayers, WhiteoutsOfEachOtherAreGoneAndThoseOfTheBaseStay) {
  add(lower_ / "d/base", "x");
  add(lower_ / "d/both", "x");
  add(first_ / "d/mine", "x");
  add(first_ / "d/both", "new");
  fs::create_directories(second_ / "d");
  for (const char* name : {"mine", "both", "base"}) make_whiteout(second_ / "d" / name);
  EXPECT_EQ(squashed(), "d/\nd/.wh.base\nd/.wh.both\n");
}

TEST_F(SquashedLayers, WhatIsAsInTheBaseAgainIsNoChange) {
  add(lower_ / "f", "same");
  ASSERT_EQ(::chmod((lower_ / "f").c_str(), 0644), 0);
  make_whiteout(first_ / "f");
  add(second_ / "f", "same");
  ASSERT_EQ(::chmod((second_ / "f").c_str(), 0644), 0);
  EXPECT_EQ(squashed(), "");
}

TEST_F(SquashedLayers, ADirectoryThatWasRemovedAndMadeAgainHidesTheBase) {
  add(lower_ / "d/base", "x");
  add(lower_ / "d/sub/base", "x");
  make_whiteout(first_ / "d");
  add(second_ / "d/new", "x");
  fs::create_directories(third_ / "d/sub");
  EXPECT_EQ(squashed(), "d/\nd/.wh.base\nd/new (1)\nd/sub/\nd/sub/.wh.base\n");
}

TEST_F(SquashedLayers, AnOpaqueDirectoryHidesOnlyWhatIsBelowIt) {
  add(lower_ / "d/base", "x");
  add(first_ / "d/first", "x");
  add(second_ / "d/second", "x");
  make_opaque(second_ / "d");
  add(third_ / "d/third", "x");
  EXPECT_EQ(squashed(), "d/\nd/.wh.base\nd/second (1)\nd/third (1)\n");
}

TEST_F(SquashedLayers, AFileInThePlaceOfADirectoryAndBack) {
  add(lower_ / "d/base", "x");
  add(first_ / "d", "a file");
  add(second_ / "e/f", "x");
  make_whiteout(third_ / "e");
  EXPECT_EQ(squashed(), "d (6)\n");
  fs::remove(second_ / "e/f");
  fs::remove(second_ / "e");
  add(second_ / "d/again", "x");
  EXPECT_EQ(squashed(), "d/\nd/again (1)\nd/.wh.base\n");
}

TEST_F(SquashedLayers, LinksStayLinks) {
  add(first_ / "a", "x");
  fs::create_hard_link(first_ / "a", first_ / "b");
  fs::create_hard_link(first_ / "a", first_ / "c");
  add(second_ / "a", "other");
  EXPECT_EQ(squashed(), "a (5)\nb (1)\nc = b\n");
}

TEST_F(LayerDiff, SealingGivesTheSameBlobWithAnyNumberOfThreads) {
  for (int i = 0; i < 200; ++i) {
    add(upper_ / ("f" + std::to_string(i)),
        std::string(20'000, static_cast<char>('a' + i % 26)) + std::to_string(i));
  }
  std::string const tar = tar_of(upper_);
  for (Compression const compression :
       {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    std::optional<BlobDigest> expected;
    for (unsigned const threads : {0U, 1U, 2U, 4U}) {
      std::optional<asio::thread_pool> pool;
      if (threads > 0) pool.emplace(threads);
      UniqueFd const fd = test::file_with("");
      SealedLayer const sealed = seal_layer(
          {upper_}, {},
          {.diff = {}, .compression = compression, .level = {}, .pool = pool ? &*pool : nullptr},
          fd.get());
      EXPECT_EQ(sealed.diff_id, DiffId(Digest::of(tar)));
      EXPECT_EQ(sealed.tar_bytes, static_cast<std::int64_t>(tar.size()));
      std::string blob(static_cast<std::size_t>(sealed.blob_bytes), '\0');
      ASSERT_EQ(::pread(fd.get(), blob.data(), blob.size(), 0), sealed.blob_bytes);
      EXPECT_EQ(sealed.blob_digest, BlobDigest(Digest::of(blob)));
      if (!expected) expected = sealed.blob_digest;
      EXPECT_EQ(sealed.blob_digest, *expected);
      AppliedLayer const applied = test::unpack(
          blob,
          scratch_.make("back" + std::to_string(threads) + std::string(to_string(compression))));
      EXPECT_EQ(applied.diff_id, sealed.diff_id);
    }
  }
}

TEST_F(LayerDiff, RepackingKeepsTheTar) {
  add(upper_ / "f", std::string(300'000, 'x'));
  UniqueFd const gzip = test::file_with("");
  SealedLayer const sealed = seal_layer({upper_}, {}, {.diff = {}, .level = {}}, gzip.get());
  for (Compression const compression : {Compression::kNone, Compression::kGzip, Compression::kZstd}) {
    ASSERT_EQ(::lseek(gzip.get(), 0, SEEK_SET), 0);
    UniqueFd const fd = test::file_with("");
    SealedLayer const repacked = repack_layer(
        gzip.get(), {.diff = {}, .compression = compression, .level = {}}, fd.get());
    EXPECT_EQ(repacked.diff_id, sealed.diff_id);
    EXPECT_EQ(repacked.blob_digest == sealed.blob_digest, compression == Compression::kGzip);
  }
  ASSERT_EQ(::ftruncate(gzip.get(), sealed.blob_bytes / 2), 0);
  ASSERT_EQ(::lseek(gzip.get(), 0, SEEK_SET), 0);
  UniqueFd const fd = test::file_with("");
  EXPECT_THROW((void)repack_layer(gzip.get(), {.diff = {}, .level = {}}, fd.get()), Error);
}

TEST_F(LayerDiff, AFullDiskIsSaid) {
  add(upper_ / "f", std::string(100'000, 'x'));
  UniqueFd const full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_GE(full.get(), 0);
  try {
    (void)seal_layer({upper_}, {}, {.diff = {}, .compression = Compression::kNone, .level = {}},
                     full.get());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnavailable);
    EXPECT_THAT(error.what(), testing::HasSubstr("no space left"));
  }
}

}  // namespace
}  // namespace cobuild::oci
