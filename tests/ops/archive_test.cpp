// F1.7.19: what ADD unpacks, and what it does not.

#include "ops/copy_archive.hpp"

#include <gtest/gtest.h>

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

#include <functional>
#include <vector>

#include "ops/file_actions.hpp"
#include "tree_listing.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using test::listing;
using test::put_text;

struct TarEntry {
  std::string name;
  mode_t mode = S_IFREG | 0644;
  std::string text{};  ///< Content, or where a link leads.
  bool hard_link = false;
  uid_t uid = 0;
  gid_t gid = 0;
  time_t time = 1000;
};

void write_tar(const fs::path& path, int filter, const std::vector<TarEntry>& entries) {
  archive* out = archive_write_new();
  archive_write_set_format_pax_restricted(out);
  archive_write_set_options(out, "hdrcharset=BINARY");
  if (filter != ARCHIVE_FILTER_NONE) archive_write_add_filter(out, filter);
  ASSERT_EQ(archive_write_open_filename(out, path.c_str()), ARCHIVE_OK);
  for (const TarEntry& e : entries) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, e.name.c_str());
    archive_entry_set_mode(entry, e.mode);
    archive_entry_set_uid(entry, e.uid);
    archive_entry_set_gid(entry, e.gid);
    archive_entry_set_mtime(entry, e.time, 0);
    bool const has_content = S_ISREG(e.mode) && !e.hard_link;
    if (e.hard_link) archive_entry_set_hardlink(entry, e.text.c_str());
    if (S_ISLNK(e.mode)) archive_entry_set_symlink(entry, e.text.c_str());
    archive_entry_set_size(entry, has_content ? static_cast<la_int64_t>(e.text.size()) : 0);
    archive_write_header(out, entry);
    if (has_content) archive_write_data(out, e.text.data(), e.text.size());
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
}

class Archives : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "owners can be set by root only";
    fs::create_directories(src());
    fs::create_directories(dst());
  }
  fs::path src() const { return directory_.path() / "src"; }
  fs::path dst() const { return directory_.path() / "dst"; }

  /// As the Dockerfile's ADD.
  void add(const std::string& from, const std::string& to,
           const std::function<void(pb::FileActionCopy&)>& change = {}) {
    pb::FileAction action;
    auto& copy = *action.mutable_copy();
    copy.set_src(from);
    copy.set_dest(to);
    copy.set_mode(-1);
    copy.set_timestamp(-1);
    copy.set_followsymlink(true);
    copy.set_dircopycontents(true);
    copy.set_createdestpath(true);
    copy.set_allowwildcard(true);
    copy.set_allowemptywildcard(true);
    copy.set_attemptunpackdockercompatibility(true);
    if (change) change(copy);
    TargetRoot const target(open_file(dst(), O_RDONLY | O_DIRECTORY));
    std::unique_ptr<FileTree> const source = FileTree::open(src(), FileTree::Kind::kLocal);
    ActionContext context{.target = target, .source = source.get(), .owner = {}, .stop = nullptr};
    if (const auto* owner = owner_of(action)) context.owner = resolve_owner(*owner, {}, {});
    perform(action, context);
  }

 private:
  TempDir directory_ = TempDir::create(fs::temp_directory_path(), "archives-");
};

class ArchiveFilters : public Archives, public testing::WithParamInterface<int> {};

TEST_P(ArchiveFilters, AreFoundByContent) {
  write_tar(src() / "any-name", GetParam(), {{.name = "d/f", .text = "F", .uid = 3, .gid = 4}});
  add("/any-name", "/x");
  EXPECT_EQ(listing(dst()), "x/ 0755\nx/d/ 0755\nx/d/f 0644 F 3:4\n");
  EXPECT_EQ(test::time_of(dst() / "x/d/f"), 1000);
}

INSTANTIATE_TEST_SUITE_P(All, ArchiveFilters,
                         testing::Values(ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP,
                                         ARCHIVE_FILTER_BZIP2, ARCHIVE_FILTER_XZ,
                                         ARCHIVE_FILTER_ZSTD));

TEST_F(Archives, OtherFilesAreCopied) {
  put_text(src() / "text.tar", "not a tar");
  put_text(src() / "empty.tar", "");
  put_text(src() / "zeros.tar", std::string(2048, '\0'));
  fs::create_directory(src() / "dir.tar");
  put_text(src() / "dir.tar/f", "F");
  write_tar(src() / "archive", ARCHIVE_FILTER_NONE, {{.name = "f"}});
  // Compressed twice is not an archive.
  write_tar(src() / "once", ARCHIVE_FILTER_GZIP, {{.name = "f"}});
  for (const char* name : {"text.tar", "empty.tar", "zeros.tar", "dir.tar"}) {
    add(std::string("/") + name, "/out/");
  }
  EXPECT_EQ(listing(dst()),
            "out/ 0755\nout/empty.tar 0644 \nout/f 0644 F\nout/text.tar 0644 not a tar\n"
            "out/zeros.tar 0644 " +
                std::string(2048, '\0') + "\n");
}

TEST_F(Archives, OwnerOverridesAndModeIsIgnored) {
  write_tar(src() / "t", ARCHIVE_FILTER_NONE,
            {{.name = "implied/f", .text = "F", .uid = 3, .gid = 4}});
  add("/t", "/x", [](pb::FileActionCopy& copy) {
    copy.mutable_owner()->mutable_user()->set_byid(9);
    copy.set_mode(0600);
  });
  EXPECT_EQ(listing(dst()), "x/ 0755 9:9\nx/implied/ 0755\nx/implied/f 0644 F 9:9\n");
}

TEST_F(Archives, KindsOfEntries) {
  write_tar(src() / "t", ARCHIVE_FILTER_NONE,
            {{.name = "d", .mode = S_IFDIR | 0711, .time = 2000},
             {.name = "d/f", .mode = S_IFREG | 04755, .text = "F"},
             {.name = "d/h", .mode = S_IFREG | 04755, .text = "d/f", .hard_link = true},
             {.name = "d/l", .mode = S_IFLNK | 0777, .text = "../../etc/passwd"},
             {.name = "p", .mode = S_IFIFO | 0600},
             {.name = "caf\xC3\xA9", .text = "utf8"}});
  add("/t", "/");
  EXPECT_EQ(listing(dst()),
            "caf\xC3\xA9 0644 utf8\nd/ 0711\nd/f 4755 F\nd/h 4755 F\nd/l -> ../../etc/passwd\n"
            "p 0600 special\n");
  EXPECT_TRUE(fs::equivalent(dst() / "d/f", dst() / "d/h"));
  EXPECT_EQ(test::time_of(dst() / "d"), 2000) << "set after its entries";
}

TEST_F(Archives, ReplaceWhatIsThere) {
  put_text(dst() / "x/was-file", "old");
  fs::create_directories(dst() / "x/was-dir/sub");
  put_text(dst() / "x/merged/kept", "K");
  write_tar(src() / "t", ARCHIVE_FILTER_NONE,
            {{.name = "was-file", .mode = S_IFDIR | 0700},
             {.name = "was-dir", .text = "new"},
             {.name = "merged", .mode = S_IFDIR | 0711},
             {.name = "merged/new", .text = "N"}});
  add("/t", "/x/");
  EXPECT_EQ(
      listing(dst() / "x"),
      "merged/ 0711\nmerged/kept 0644 K\nmerged/new 0644 N\nwas-dir 0644 new\nwas-file/ 0700\n");
}

TEST_F(Archives, NothingLeavesTheDestination) {
  fs::path const outside = src().parent_path() / "outside";
  fs::create_directories(outside);
  write_tar(
      src() / "t", ARCHIVE_FILTER_NONE,
      {{.name = "../../up", .text = "1"},
       {.name = "/abs", .text = "2"},
       {.name = outside.relative_path().string(), .mode = S_IFDIR | 0755},
       {.name = "l", .mode = S_IFLNK | 0777, .text = outside.string()},
       {.name = "l/evil", .text = "3"},
       {.name = "r", .mode = S_IFLNK | 0777, .text = "../../../../../../../.." + outside.string()},
       {.name = "r/evil2", .text = "4"},
       {.name = "hard", .text = "../../up", .hard_link = true}});
  add("/t", "/x/y/");
  EXPECT_TRUE(fs::is_empty(outside));
  EXPECT_FALSE(fs::exists(dst() / "up"));
  EXPECT_TRUE(fs::exists(dst() / "x/y/up"));
  EXPECT_TRUE(fs::exists(dst() / "x/y/abs"));
  EXPECT_TRUE(fs::equivalent(dst() / "x/y/up", dst() / "x/y/hard"));
  EXPECT_EQ(test::text_of(dst() / "x/y" / outside.relative_path() / "evil"), "3");
}

TEST_F(Archives, WhatALinkLeadsToIsNotMade) {
  write_tar(
      src() / "t", ARCHIVE_FILTER_NONE,
      {{.name = "l", .mode = S_IFLNK | 0777, .text = "/missing"}, {.name = "l/f", .text = "1"}});
  try {
    add("/t", "/x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "unpack /t to /x: open /l/f: no such file or directory");
  }
}

TEST_F(Archives, ABrokenOneSaysSo) {
  write_tar(src() / "t", ARCHIVE_FILTER_NONE,
            {{.name = "a", .text = std::string(100000, 'a')},
             {.name = "b", .text = std::string(1000, 'b')}});
  fs::resize_file(src() / "t", fs::file_size(src() / "t") / 2);
  try {
    add("/t", "/x");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
    EXPECT_EQ(std::string(error.what()).find("unpack /t to /x: "), 0U) << error.what();
  }
}

class DamagedArchives : public ArchiveFilters {
 protected:
  /// Small enough that libarchive finds the damage before it gives the first header.
  void write_small(const fs::path& path) {
    std::string noise(20000, '\0');
    std::uint32_t state = 1;
    for (char& c : noise) {
      state = state * 1664525 + 1013904223;
      c = static_cast<char>(state >> 24);
    }
    write_tar(path, GetParam(), {{.name = "noise", .text = noise}});
  }
  void expect_refused(const std::string& path) {
    try {
      add(path, "/x/");
      FAIL() << path << " was copied";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
      EXPECT_NE(std::string(error.what()).find("truncated or damaged"), std::string::npos)
          << error.what();
    }
    EXPECT_FALSE(fs::exists(dst() / "x" / path.substr(1)));
  }
};

TEST_P(DamagedArchives, ArchivesByNameAreRefused) {
  write_small(src() / "t.tgz");
  fs::resize_file(src() / "t.tgz", 5000);
  expect_refused("/t.tgz");
  fs::resize_file(src() / "t.tgz", 100);
  expect_refused("/t.tgz");
}

TEST_P(DamagedArchives, OthersAreCopied) {
  write_small(src() / "data");
  fs::resize_file(src() / "data", 20);  // not enough for a header to come out
  add("/data", "/x/");
  EXPECT_EQ(fs::file_size(dst() / "x/data"), 20U);
}

INSTANTIATE_TEST_SUITE_P(All, DamagedArchives,
                         testing::Values(ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_BZIP2,
                                         ARCHIVE_FILTER_XZ, ARCHIVE_FILTER_ZSTD));

class DamagedGzip : public DamagedArchives {};

TEST_P(DamagedGzip, IsKnownByItsFirstHeader) {
  write_small(src() / "any-name");
  fs::resize_file(src() / "any-name", 3000);
  expect_refused("/any-name");
}

INSTANTIATE_TEST_SUITE_P(All, DamagedGzip, testing::Values(ARCHIVE_FILTER_GZIP));

TEST_F(Archives, ADamagedFileThatHoldsNoTarIsCopied) {
  write_tar(src() / "t", ARCHIVE_FILTER_GZIP, {{.name = "f", .text = "F"}});
  std::string const magic = test::text_of(src() / "t").substr(0, 10);
  put_text(src() / "data.gz", magic + std::string(300, '\x07'));
  add("/data.gz", "/x/");
  EXPECT_EQ(fs::file_size(dst() / "x/data.gz"), 310U);
}

std::optional<std::int64_t> newest_in(const fs::path& path) {
  UniqueFd const file = open_file(path, O_RDONLY);
  return newest_file_time(file.get(), nullptr);
}

TEST_F(Archives, TheNewestFileIsFound) {
  for (int const filter :
       {ARCHIVE_FILTER_NONE, ARCHIVE_FILTER_GZIP, ARCHIVE_FILTER_BZIP2, ARCHIVE_FILTER_XZ}) {
    write_tar(src() / "x", filter,
              {{.name = "a", .time = 100},
               {.name = "b", .text = "text", .time = 300},
               {.name = "c", .time = 200},
               {.name = "d", .mode = S_IFDIR | 0755, .time = 900},
               {.name = "l", .mode = S_IFLNK | 0777, .text = "a", .time = 900}});
    EXPECT_EQ(newest_in(src() / "x"), 300) << filter;
  }
}

TEST_F(Archives, WithoutFilesOrWithDamageThereIsNoNewestFile) {
  write_tar(src() / "dirs", ARCHIVE_FILTER_NONE, {{.name = "d", .mode = S_IFDIR | 0755}});
  EXPECT_EQ(newest_in(src() / "dirs"), std::nullopt);
  put_text(src() / "text", "no archive\n");
  EXPECT_EQ(newest_in(src() / "text"), std::nullopt);
  put_text(src() / "empty", "");
  EXPECT_EQ(newest_in(src() / "empty"), std::nullopt);
  write_tar(src() / "cut", ARCHIVE_FILTER_NONE,
            {{.name = "a", .text = std::string(5000, 'x')}, {.name = "b"}});
  fs::resize_file(src() / "cut", 2000);
  EXPECT_EQ(newest_in(src() / "cut"), std::nullopt);
}

}  // namespace
}  // namespace cobuild::ops
