#include "oci/layer_apply.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.hpp"
#include "oci/compression.hpp"
#include "oci/layer_tree.hpp"
#include "oci/layer_writer.hpp"
#include "oci/tar_builder.hpp"

namespace cobuild::oci {
namespace {

using test::describe;
using test::read_text;
using test::Scratch;
using test::TarBuilder;
using test::unpack;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

bool is_root() {
  return ::geteuid() == 0;
}

class LayerApply : public testing::Test {
 protected:
  void SetUp() override {
    if (!is_root()) GTEST_SKIP() << "entries belong to root: run as root or in a user namespace";
  }
  Scratch scratch_;
  test::fs::path layer_ = scratch_.make("layer");
};

TEST_F(LayerApply, WritesFilesWithTheirMetadata) {
  std::string const tar =
      TarBuilder()
          .directory("etc", 0750)
          .add({.name = "etc/passwd", .mode = 04711, .uid = 7, .gid = 8, .mtime = 1234}, "root")
          .symlink("etc/link", "/absolute/target")
          .link("etc/same", "etc/passwd")
          .add({.name = "fifo", .type = TarType::kFifo, .mode = 0620, .mtime = 5})
          .finish();
  AppliedLayer const applied = unpack(tar, layer_);
  EXPECT_EQ(applied.diff_id, DiffId(Digest::of(tar)));
  EXPECT_EQ(applied.tar_bytes, tar.size());
  EXPECT_EQ(applied.entries, 5U);
  EXPECT_EQ(applied.file_bytes, 4U);
  EXPECT_TRUE(applied.is_complete());
  struct stat status{};
  ASSERT_EQ(::lstat((layer_ / "etc/passwd").c_str(), &status), 0);
  // The hard link's own entry comes last and sets what it says.
  EXPECT_EQ(status.st_mode, S_IFREG | 0644U);
  EXPECT_EQ(status.st_mtim.tv_sec, TarBuilder::kTime);
  EXPECT_EQ(status.st_nlink, 2U);
  ASSERT_EQ(::lstat((layer_ / "etc").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFDIR | 0750U);
  EXPECT_EQ(status.st_mtim.tv_sec, TarBuilder::kTime);  // Though files were made in it since.
  EXPECT_EQ(read_text(layer_ / "etc/same"), "root");
  EXPECT_EQ(test::fs::read_symlink(layer_ / "etc/link"), "/absolute/target");
  ASSERT_EQ(::lstat((layer_ / "fifo").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFIFO | 0620U);
}

TEST_F(LayerApply, KeepsSetuidAndOwner) {
  (void)unpack(TarBuilder().add({.name = "su", .mode = 06755, .uid = 1000, .gid = 100}).finish(),
               layer_);
  struct stat status{};
  ASSERT_EQ(::lstat((layer_ / "su").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFREG | 06755U);
  EXPECT_EQ(status.st_uid, 1000U);
  EXPECT_EQ(status.st_gid, 100U);
}

TEST_F(LayerApply, LaterEntriesReplaceEarlierOnes) {
  (void)unpack(TarBuilder()
                   .file("a", "first")
                   .file("a", "second")
                   .directory("b")
                   .file("b/x", "x")
                   .file("b", "now a file")
                   .symlink("c", "a")
                   .directory("c")
                   .file("c/y", "y")
                   .directory("d", 0700)
                   .file("d/kept", "k")
                   .directory("d", 0755)
                   .finish(),
               layer_);
  EXPECT_EQ(read_text(layer_ / "a"), "second");
  EXPECT_EQ(read_text(layer_ / "b"), "now a file");
  EXPECT_EQ(read_text(layer_ / "c/y"), "y");
  EXPECT_EQ(read_text(layer_ / "d/kept"), "k");
  struct stat status{};
  ASSERT_EQ(::lstat((layer_ / "d").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFDIR | 0755U);
}

TEST_F(LayerApply, NamesAreTakenBeneathTheLayer) {
  (void)unpack(TarBuilder()
                   .file("/abs", "1")
                   .file("./dot", "2")
                   .file("x/../up", "3")
                   .directory(".")
                   .finish(),
               layer_);
  EXPECT_EQ(read_text(layer_ / "abs"), "1");
  EXPECT_EQ(read_text(layer_ / "dot"), "2");
  EXPECT_EQ(read_text(layer_ / "up"), "3");
}

TEST_F(LayerApply, ImplicitDirectoriesAreReported) {
  AppliedLayer const applied =
      unpack(TarBuilder().file("a/b/c/f").file("d/e/f").directory("d").finish(), layer_);
  EXPECT_THAT(applied.implicit_dirs, ElementsAre("a", "a/b", "a/b/c", "d/e"));
  struct stat status{};
  ASSERT_EQ(::lstat((layer_ / "a/b").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFDIR | 0755U);
  EXPECT_EQ(status.st_mtim.tv_sec, 0);
}

TEST_F(LayerApply, UnpacksGzipAndZstd) {
  std::string const tar =
      TarBuilder().directory("d").file("d/f", std::string(3'000'000, 'z')).finish();
  for (Compression const compression : {Compression::kGzip, Compression::kZstd}) {
    std::string blob;
    DeflateStream stream({.compression = compression, .level = {}},
                         [&](std::span<const std::byte> data) {
                           blob.append(reinterpret_cast<const char*>(data.data()), data.size());
                         });
    stream.write(std::as_bytes(std::span(tar)));
    stream.finish();
    test::fs::path const layer = scratch_.make(std::string(to_string(compression)));
    AppliedLayer const applied = unpack(blob, layer);
    EXPECT_EQ(applied.diff_id, DiffId(Digest::of(tar)));
    EXPECT_EQ(test::fs::file_size(layer / "d/f"), 3'000'000U);
    EXPECT_THROW((void)unpack(blob.substr(0, blob.size() - 9), scratch_.make("cut")), Error);
  }
}

TEST_F(LayerApply, PaddingAfterTheArchiveCountsForTheDiffId) {
  std::string const tar = TarBuilder().file("f").finish() + std::string(9000, '\0');
  EXPECT_EQ(unpack(tar, layer_).diff_id, DiffId(Digest::of(tar)));
}

TEST_F(LayerApply, AnEmptyBlobIsAnEmptyLayer) {
  EXPECT_EQ(unpack("", layer_).entries, 0U);
  EXPECT_THAT(describe(layer_), IsEmpty());
}

TEST_F(LayerApply, ChecksTheDiffId) {
  std::string const tar = TarBuilder().file("f").finish();
  ApplyOptions options;
  options.expected_diff_id = DiffId(Digest::of(tar));
  EXPECT_NO_THROW((void)unpack(tar, layer_, options));
  options.expected_diff_id = DiffId(Digest::of("something else"));
  EXPECT_THROW((void)unpack(tar, scratch_.make("other"), options), Error);
}

TEST_F(LayerApply, OverlaysOwnAttributesAreDropped) {
  TarHeader header{.name = "d/", .type = TarType::kDirectory, .mode = 0755};
  header.records = {{"SCHILY.xattr.user.overlay.opaque", "y"},
                    {"SCHILY.xattr.trusted.overlay.opaque", "y"},
                    {"SCHILY.xattr.user.mine", "kept"}};
  (void)unpack(TarBuilder().add(header).finish(), layer_);
  UniqueFd const root = open_file(layer_, O_PATH);
  EXPECT_FALSE(is_opaque(root.get(), "d"));
  Xattrs const xattrs = read_xattrs_at(root.get(), "d");
  ASSERT_EQ(xattrs.size(), 1U);
  EXPECT_EQ(xattrs[0].first, "user.mine");
}

TEST_F(LayerApply, HardLinksKeepCapabilities) {
  std::string const capability("\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  TarHeader ping{.name = "ping", .mode = 0755};
  ping.records = {{"SCHILY.xattr.security.capability", capability}};
  TarHeader link{.name = "ping4", .link_name = "ping", .type = TarType::kHardLink, .mode = 0755};
  (void)unpack(TarBuilder().add(ping).add(link).finish(), layer_);
  UniqueFd const root = open_file(layer_, O_PATH);
  EXPECT_EQ(read_xattrs_at(root.get(), "ping4").size(), 1U);
}

TEST_F(LayerApply, ManyEntriesInDeepDirectories) {
  TarBuilder tar;
  std::string directory = "d";
  for (int i = 0; i < 200; ++i) {
    directory += "/d";
    tar.file(directory + "/f" + std::to_string(i), std::to_string(i));
  }
  AppliedLayer const applied = unpack(tar.finish(), layer_);
  EXPECT_EQ(applied.entries, 200U);
  EXPECT_EQ(applied.implicit_dirs.size(), 201U);
  EXPECT_EQ(read_text(layer_ / (directory + "/f199")), "199");
}

struct Attack {
  const char* name;
  std::string tar;
  const char* complaint;
};

class HostileTar : public testing::TestWithParam<Attack> {};

TEST_P(HostileTar, IsRefusedAndLeavesTheOutsideAlone) {
  if (!is_root()) GTEST_SKIP() << "entries belong to root";
  Scratch const scratch;
  test::fs::path const layer = scratch.make("inside/layer");
  test::write_text(scratch.path() / "inside/victim", "untouched");
  ApplyOptions options;
  options.limits.tar_bytes_max = 1 << 20;
  try {
    (void)unpack(GetParam().tar, layer, options);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCorrupt) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(GetParam().complaint));
  }
  EXPECT_EQ(read_text(scratch.path() / "inside/victim"), "untouched");
  EXPECT_EQ(describe(scratch.path() / "inside", false).count("evil"), 0U);
}

/// One byte, and a hole of 2 MiB before it.
std::string sparse_bomb() {
  TarHeader header{.name = "f", .mode = 0644};
  header.records = {{"GNU.sparse.size", "2097153"}, {"GNU.sparse.map", "2097152,1"}};
  return TarBuilder().add(header, "x").finish();
}

std::vector<Attack> attacks() {
  TarHeader xattr{.name = "f", .mode = 0644};
  xattr.records = {{"SCHILY.xattr.user.big", std::string(65537, 'x')}};
  return {
      {"DotDotName", TarBuilder().file("../evil").finish(), "leads out"},
      {"DotDotInTheMiddle", TarBuilder().file("a/../../evil").finish(), "leads out"},
      {"DotDotDirectory", TarBuilder().directory("..").finish(), "leads out"},
      {"HardLinkOut", TarBuilder().link("evil", "../victim").finish(), "leads out"},
      {"HardLinkToDirectory", TarBuilder().directory("d").link("l", "d").finish(), "a directory"},
      {"HardLinkToItself", TarBuilder().file("f").link("f", "f").finish(), "itself"},
      {"HardLinkToTheRoot", TarBuilder().link("l", "/").finish(), "a hard link to /"},
      {"FileAsDirectory", TarBuilder().file("f").file("f/evil").finish(), "is not a directory"},
      {"WhiteoutOfNothing", TarBuilder().file(".wh.").finish(), "whiteout of nothing"},
      {"WhiteoutOfDot", TarBuilder().file("d/.wh..").finish(), "whiteout of nothing"},
      {"WhiteoutOfDotDot", TarBuilder().file("d/.wh...").finish(), "whiteout of nothing"},
      {"SymlinkLoop", TarBuilder().symlink("a", "b").symlink("b", "a").file("a/evil").finish(),
       "too many links"},
      {"SymlinkToItself", TarBuilder().symlink("a", "a/x").file("a/evil").finish(),
       "too many links"},
      {"LongComponent", TarBuilder().file(std::string(256, 'n')).finish(), "too long"},
      {"BigXattr", TarBuilder().add(xattr).finish(), "too long"},
      {"Bomb", TarBuilder().file("f", std::string(2 << 20, '\0')).finish(), "bomb"},
      {"SparseBomb", sparse_bomb(), "bomb"},
      {"Truncated", TarBuilder().file("f", "12345").bytes().substr(0, 700), "ends in the middle"},
  };
}

INSTANTIATE_TEST_SUITE_P(Table, HostileTar, testing::ValuesIn(attacks()),
                         [](const auto& info) { return std::string(info.param.name); });

/// What containerd does with links on the way: they are followed beneath the layer.
TEST_F(LayerApply, SymlinksOnTheWayStayInside) {
  test::write_text(scratch_.path() / "victim", "untouched");
  std::string const outside = scratch_.path().string();
  (void)unpack(TarBuilder()
                   .symlink("abs", outside)
                   .file("abs/evil1", "1")
                   .symlink("rel", "../../../../../../..")
                   .file("rel/evil2", "2")
                   .directory("usr")
                   .symlink("lib", "usr")
                   .file("lib/inside", "3")
                   .symlink("deep", "usr/../lib/sub")
                   .file("deep/f", "4")
                   .finish(),
               layer_);
  EXPECT_FALSE(test::fs::exists(scratch_.path() / "evil1"));
  EXPECT_EQ(read_text(layer_ / outside.substr(1) / "evil1"), "1");
  EXPECT_EQ(read_text(layer_ / "evil2"), "2");
  EXPECT_EQ(read_text(layer_ / "usr/inside"), "3");
  EXPECT_EQ(read_text(layer_ / "usr/sub/f"), "4");
  EXPECT_EQ(read_text(scratch_.path() / "victim"), "untouched");
}

TEST_F(LayerApply, FilesReplaceSymlinksInsteadOfFollowingThem) {
  test::write_text(scratch_.path() / "victim", "untouched");
  (void)unpack(TarBuilder().symlink("f", "../victim").file("f", "new").finish(), layer_);
  EXPECT_EQ(read_text(layer_ / "f"), "new");
  EXPECT_EQ(read_text(scratch_.path() / "victim"), "untouched");
}

TEST_F(LayerApply, LinksThroughSymlinksCannotReachTheHost) {
  test::write_text(scratch_.path() / "victim", "secret");
  AppliedLayer const applied = unpack(
      TarBuilder().symlink("out", scratch_.path().string()).link("stolen", "out/victim").finish(),
      layer_);
  ASSERT_EQ(applied.deferred_links.size(), 1U);
  EXPECT_THROW(complete_layer(layer_, {}, applied), Error);
  EXPECT_FALSE(test::fs::exists(layer_ / "stolen"));
}

class Whiteouts : public LayerApply {
 protected:
  void SetUp() override {
    if (!test::can_make_whiteouts()) GTEST_SKIP() << "mknod is not permitted here";
    LayerApply::SetUp();
  }
};

TEST_F(Whiteouts, BecomeDevices) {
  (void)unpack(TarBuilder().directory("etc").file("etc/.wh.gone", "", 0).finish(), layer_);
  EXPECT_EQ(describe(layer_)["etc/gone"], "whiteout");
}

TEST_F(Whiteouts, DoNotConcernTheirOwnLayer) {
  (void)unpack(TarBuilder()
                   .file("before", "kept")
                   .file(".wh.before")
                   .file(".wh.after")
                   .file("after", "kept")
                   .directory("dir")
                   .file("dir/kept", "x")
                   .file(".wh.dir")
                   .file(".wh.dir2")
                   .directory("dir2")
                   .file("dir2/kept", "x")
                   .file(".wh.dir3")
                   .file("dir3/kept", "x")
                   .finish(),
               layer_);
  EXPECT_EQ(read_text(layer_ / "before"), "kept");
  EXPECT_EQ(read_text(layer_ / "after"), "kept");
  UniqueFd const root = open_file(layer_, O_PATH);
  for (const char* name : {"dir", "dir2", "dir3"}) {
    EXPECT_EQ(read_text(layer_ / name / "kept"), "x");
    EXPECT_TRUE(is_opaque(root.get(), name)) << name;
  }
}

/// F10.81: in any order.
TEST_F(Whiteouts, OpaqueMarkersHideOnlyWhatIsBelow) {
  (void)unpack(TarBuilder()
                   .directory("first")
                   .file("first/.wh..wh..opq")
                   .file("first/a", "1")
                   .directory("last")
                   .file("last/a", "2")
                   .file("last/.wh..wh..opq")
                   .finish(),
               layer_);
  UniqueFd const root = open_file(layer_, O_PATH);
  EXPECT_TRUE(is_opaque(root.get(), "first"));
  EXPECT_TRUE(is_opaque(root.get(), "last"));
  EXPECT_EQ(read_text(layer_ / "first/a"), "1");
  EXPECT_EQ(read_text(layer_ / "last/a"), "2");
  EXPECT_FALSE(test::fs::exists(layer_ / "first/.wh..wh..opq"));
}

TEST_F(Whiteouts, AufsLeftoversAreSkipped) {
  (void)unpack(TarBuilder().directory(".wh..wh.plnk").file(".wh..wh.aufs").finish(), layer_);
  EXPECT_THAT(describe(layer_), IsEmpty());
}

TEST_F(Whiteouts, AnOpaqueRootHidesAllThatIsBelow) {
  test::fs::path const lower = scratch_.make("lower");
  test::write_text(lower / "old", "x");
  test::fs::create_directories(lower / "dir");
  AppliedLayer const applied =
      unpack(TarBuilder().file(".wh..wh..opq").directory("dir").file("dir/f").finish(), layer_);
  EXPECT_FALSE(applied.is_complete());
  complete_layer(layer_, {lower}, applied);
  EXPECT_EQ(describe(layer_)["old"], "whiteout");
  UniqueFd const root = open_file(layer_, O_PATH);
  EXPECT_TRUE(is_opaque(root.get(), "dir"));
}

TEST_F(LayerApply, CompletionAdoptsDirectoriesFromBelow) {
  test::fs::path const lower = scratch_.make("lower");
  (void)unpack(TarBuilder()
                   .add({.name = "var/",
                         .type = TarType::kDirectory,
                         .mode = 01777,
                         .uid = 3,
                         .gid = 4,
                         .mtime = 99})
                   .file("notdir")
                   .finish(),
               lower);
  AppliedLayer const applied =
      unpack(TarBuilder().file("var/new").file("notdir/f").file("fresh/f").finish(), layer_);
  complete_layer(layer_, {lower}, applied);
  struct stat status{};
  ASSERT_EQ(::lstat((layer_ / "var").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFDIR | 01777U);
  EXPECT_EQ(status.st_uid, 3U);
  EXPECT_EQ(status.st_gid, 4U);
  EXPECT_EQ(status.st_mtim.tv_sec, 99);
  ASSERT_EQ(::lstat((layer_ / "notdir").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode, S_IFDIR | 0755U);
}

TEST_F(LayerApply, CompletionLinksToFilesBelow) {
  test::fs::path const lower = scratch_.make("lower");
  (void)unpack(TarBuilder().directory("bin", 0711).file("bin/tool", "#!", 0755).finish(), lower);
  AppliedLayer const applied = unpack(TarBuilder().link("bin/alias", "bin/tool").finish(), layer_);
  ASSERT_EQ(applied.deferred_links.size(), 1U);
  complete_layer(layer_, {lower}, applied);
  complete_layer(layer_, {lower}, applied);  // Once more changes nothing.
  std::map<std::string, std::string> const listing = describe(layer_);
  EXPECT_EQ(listing.at("bin/tool"), describe(lower).at("bin/tool") + " same as bin/alias");
  EXPECT_EQ(listing.at("bin"), describe(lower).at("bin"));
}

TEST_F(LayerApply, CompletionRefusesLinksToNothing) {
  AppliedLayer const applied = unpack(TarBuilder().link("l", "missing").finish(), layer_);
  try {
    complete_layer(layer_, {scratch_.make("lower")}, applied);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(error.what(), HasSubstr("/missing"));
  }
}

TEST(CleanEntryPath, Table) {
  EXPECT_EQ(clean_entry_path("a/b"), "a/b");
  EXPECT_EQ(clean_entry_path("./a//b/./"), "a/b");
  EXPECT_EQ(clean_entry_path("/"), "");
  EXPECT_EQ(clean_entry_path("a/.."), "");
  EXPECT_EQ(clean_entry_path("..a/...b"), "..a/...b");
  EXPECT_THROW((void)clean_entry_path(".."), Error);
  EXPECT_THROW((void)clean_entry_path("/../etc"), Error);
}

}  // namespace
}  // namespace cobuild::oci
