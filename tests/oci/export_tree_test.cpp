#include "oci/export_tree.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <sstream>
#include <string>

#include "core/base/error.hpp"
#include "oci/export_platform.hpp"
#include "oci/layer_tree.hpp"
#include "oci/tar_reader.hpp"

namespace cobuild::oci {
namespace {

namespace fs = std::filesystem;
using test::describe;
using test::read_text;
using test::Scratch;
using test::write_text;
using testing::HasSubstr;

class TreeExport : public testing::Test {
 protected:
  TreeExport() {
    fs::create_directories(tree_ / "dir/deep");
    write_text(tree_ / "dir/deep/f", "deep");
    write_text(tree_ / "a", "contents");
    fs::create_hard_link(tree_ / "a", tree_ / "dir/again");
    fs::create_symlink("/a", tree_ / "link");
    fs::permissions(tree_ / "a", fs::perms(0640));
    for (const char* name : {"dir/deep/f", "a", "link", "dir/deep", "dir"})
      test::set_time(tree_ / name, 1'000'000, 5);
  }

  void to_directory(const TreeExportOptions& options = {}) {
    write_tree_directory({{.root = tree_, .platform = ""}}, options, out_);
  }

  Scratch scratch_;
  fs::path tree_ = scratch_.make("tree");
  fs::path out_ = scratch_.path() / "out";
};

TEST_F(TreeExport, CopiesModesTimesAndLinks) {
  to_directory();
  EXPECT_EQ(describe(tree_), describe(out_));
  struct stat status{};
  ASSERT_EQ(::stat(out_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
}

TEST_F(TreeExport, OverExistingFilesIsTheSame) {
  to_directory();
  write_text(out_ / "a", "changed");
  fs::remove_all(out_ / "dir");
  write_text(out_ / "dir", "a file where a directory goes");
  fs::remove(out_ / "link");
  fs::create_directories(out_ / "link/full/of/things");
  to_directory();
  EXPECT_EQ(describe(tree_), describe(out_));
  to_directory();
  EXPECT_EQ(describe(tree_), describe(out_));
}

/// F4.4.2.
TEST_F(TreeExport, KeepsOrDeletesWhatElseIsThere) {
  fs::create_directories(out_ / "dir/extra");
  write_text(out_ / "extra", "mine");
  to_directory();
  EXPECT_TRUE(fs::exists(out_ / "extra"));
  EXPECT_TRUE(fs::exists(out_ / "dir/extra"));
  to_directory({.epoch = {}, .mode = TreeExportOptions::Mode::kDelete});
  EXPECT_EQ(describe(tree_), describe(out_));
}

TEST_F(TreeExport, NeverWritesThroughLinksOfTheDestination) {
  fs::path const victim = scratch_.make("victim");
  write_text(victim / "f", "untouched");
  fs::create_directories(out_);
  fs::create_symlink(victim, out_ / "dir");
  fs::create_symlink(victim / "f", out_ / "a");
  to_directory();
  EXPECT_EQ(read_text(victim / "f"), "untouched");
  EXPECT_EQ(describe(victim, false).size(), 1U);
  EXPECT_EQ(describe(tree_), describe(out_));
}

/// F4.6.4.
TEST_F(TreeExport, EpochIsEveryTime) {
  to_directory({.epoch = Timestamp(std::chrono::seconds(77))});
  for (const auto& [name, line] : describe(out_)) EXPECT_THAT(line, HasSubstr(" t77.0")) << name;
}

TEST_F(TreeExport, DirectoriesMayBeReadOnly) {
  fs::permissions(tree_ / "dir", fs::perms(0555));
  to_directory();
  to_directory();
  EXPECT_EQ(describe(tree_), describe(out_));
  fs::permissions(tree_ / "dir", fs::perms(0755));
  fs::permissions(out_ / "dir", fs::perms(0755));
}

/// F4.4.3.
TEST_F(TreeExport, PlatformsGetDirectories) {
  fs::path const other = scratch_.make("other");
  write_text(other / "b", "b");
  write_tree_directory(
      {{.root = tree_, .platform = "linux/amd64"}, {.root = other, .platform = "linux/arm/v7"}},
      {.epoch = {}, .split_platforms = true}, out_);
  EXPECT_EQ(read_text(out_ / "linux_amd64/a"), "contents");
  EXPECT_EQ(read_text(out_ / "linux_arm_v7/b"), "b");
  EXPECT_EQ(fs::read_symlink(out_ / "linux_amd64/link"), "/linux_amd64/a");
  std::map<std::string, std::string> const listing = describe(out_);
  EXPECT_THAT(listing.at("linux_amd64"), HasSubstr("40755"));
  EXPECT_THAT(listing.at("linux_amd64"), HasSubstr(" t0.0"));
}

/// F4.4.4.
TEST_F(TreeExport, UnsplitPlatformsMustNotClash) {
  fs::path const other = scratch_.make("other");
  fs::create_directories(other / "dir/deep");
  write_text(other / "b", "b");
  std::vector<ExportTree> const trees{{.root = tree_, .platform = "linux/amd64"},
                                      {.root = other, .platform = "linux/arm64"}};
  write_tree_directory(trees, {}, out_);
  EXPECT_EQ(read_text(out_ / "dir/deep/f"), "deep");
  EXPECT_EQ(read_text(out_ / "b"), "b");
  write_text(other / "dir/deep/f", "other");
  try {
    write_tree_directory(trees, {}, scratch_.path() / "clash");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "cannot overwrite dir/deep/f from linux/amd64 with linux/arm64 when split option "
                 "is disabled");
  }
}

TEST_F(TreeExport, WhatFailsLeavesNothing) {
  fs::path const other = scratch_.make("other");
  write_text(tree_ / "zz", "clashes, and comes last");
  write_text(other / "zz", "clashes");
  auto fail = [&](const fs::path& out) {
    EXPECT_THROW(write_tree_directory({{.root = tree_, .platform = "linux/amd64"},
                                       {.root = other, .platform = "linux/arm/v7"}},
                                      {}, out),
                 Error);
  };
  fail(scratch_.path() / "new/below");
  EXPECT_FALSE(fs::exists(scratch_.path() / "new"));

  fs::create_directories(out_ / "dir");
  write_text(out_ / "dir/mine", "mine");
  write_text(out_ / "mine", "mine");
  auto const before = describe(out_, false);
  fail(out_);
  EXPECT_EQ(describe(out_, false).size(), before.size());
  EXPECT_EQ(read_text(out_ / "dir/mine"), "mine");
  EXPECT_FALSE(fs::exists(out_ / "dir/deep"));
}

/// F4.4.7.
TEST_F(TreeExport, NothingIsAnEmptyDirectory) {
  write_tree_directory({{.root = "", .platform = ""}}, {}, out_);
  EXPECT_TRUE(fs::is_empty(out_));
}

/// Name, type, size, time and link of each entry.
std::string list(const fs::path& archive) {
  std::string const tar = read_text(archive);
  bool done = false;
  TarReader reader([&]() -> std::span<const std::byte> {
    if (std::exchange(done, true)) return {};
    return std::as_bytes(std::span(tar));
  });
  std::ostringstream out;
  TarEntry entry;
  while (reader.next(entry)) {
    out << entry.name << " " << static_cast<char>(entry.type) << " " << entry.size << " "
        << entry.mtime;
    if (!entry.link_name.empty()) out << " " << entry.link_name;
    out << "\n";
  }
  return out.str();
}

/// F4.4.6.
TEST_F(TreeExport, ArchivesInWalkOrder) {
  fs::path const path = scratch_.path() / "out.tar";
  test::set_time(tree_ / "link", 5, 500'000'000);
  write_tree_archive({{.root = tree_, .platform = ""}}, {}, path);
  EXPECT_EQ(list(path),
            "a 0 8 1000000\n"
            "dir/ 5 0 1000000\n"
            "dir/again 1 0 1000000 a\n"
            "dir/deep/ 5 0 1000000\n"
            "dir/deep/f 0 4 1000000\n"
            "link 2 0 6 /a\n");
  EXPECT_EQ(fs::file_size(path) % 512, 0U);
}

/// F10.93.
TEST_F(TreeExport, ArchivesOfPlatformsAreSplit) {  // F4.4.6, F4.6.4
  fs::path const path = scratch_.path() / "out.tar";
  TreeExportOptions const options{.epoch = Timestamp(std::chrono::seconds(9)),
                                  .split_platforms = true};
  write_tree_archive(
      {{.root = tree_ / "dir", .platform = "linux/arm64"}, {.root = "", .platform = "linux/amd64"}},
      options, path);
  EXPECT_EQ(list(path),
            "linux_amd64/ 5 0 9\n"
            "linux_arm64/ 5 0 9\n"
            "linux_arm64/again 0 8 9\n"
            "linux_arm64/deep/ 5 0 9\n"
            "linux_arm64/deep/f 0 4 9\n");
}

/// F4.4.7.
TEST_F(TreeExport, NothingIsAnEmptyArchive) {
  fs::path const path = scratch_.path() / "out.tar";
  write_tree_archive({{.root = "", .platform = ""}}, {}, path);
  EXPECT_EQ(read_text(path), std::string(1024, '\0'));
}

/// In a container, processes have the same ID again and again, and some are killed.
TEST_F(TreeExport, WhatKilledProcessesLeftIsInNobodysWay) {
  std::string const id = std::to_string(::getpid());
  fs::create_directories(out_);
  for (int i = 1; i <= 150; ++i) {
    write_text(out_ / (".tmp." + id + "." + std::to_string(i)), "left");
    write_text(scratch_.path() / ("out.tar.tmp-" + id + "-" + std::to_string(i)), "left");
  }
  to_directory();
  EXPECT_EQ(read_text(out_ / "a"), "contents");
  write_tree_archive({{.root = "", .platform = ""}}, {}, scratch_.path() / "out.tar");
  EXPECT_TRUE(fs::exists(scratch_.path() / "out.tar"));
}

TEST(LinkBelow, Table) {
  EXPECT_EQ(link_below("", "/a"), "/a");
  EXPECT_EQ(link_below("p", "a"), "a");
  EXPECT_EQ(link_below("p", "/a/../b/"), "/p/b");
  EXPECT_EQ(link_below("p", "/"), "/p");
}

}  // namespace
}  // namespace cobuild::oci
