// The rows F1.7, F2.4 and F10.1 to F10.18, on real directories.

#include "ops/file_actions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>

#include "core/sys/fs.hpp"
#include "ops/copy_mode.hpp"
#include "tree_listing.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using test::listing;
using test::put_text;
using test::set_time;
using test::time_of;

class FileActions : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "owners can be set by root only";
    ::umask(022);
    fs::create_directories(src());
    fs::create_directories(dst());
  }

  fs::path src() const { return directory_.path() / "src"; }
  fs::path dst() const { return directory_.path() / "dst"; }

  void run(const pb::FileAction& action, FileTree::Kind kind = FileTree::Kind::kView,
           const std::string& passwd = {}, const std::string& group = {}) {
    TargetRoot const target(open_file(dst(), O_RDONLY | O_DIRECTORY));
    std::unique_ptr<FileTree> const source = FileTree::open(src(), kind);
    ActionContext context{.target = target, .source = source.get(), .owner = {}, .stop = nullptr};
    if (const auto* owner = owner_of(action)) context.owner = resolve_owner(*owner, passwd, group);
    perform(action, context);
  }

  std::string error_of(const pb::FileAction& action) {
    try {
      run(action);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  }

  /// As the Dockerfile's COPY.
  static pb::FileAction copy(const std::string& from, const std::string& to) {
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
    return action;
  }

  static void own(pb::FileAction& action, std::uint32_t uid, std::uint32_t gid) {
    action.mutable_copy()->mutable_owner()->mutable_user()->set_byid(uid);
    action.mutable_copy()->mutable_owner()->mutable_group()->set_byid(gid);
  }

 private:
  TempDir directory_ = TempDir::create(fs::temp_directory_path(), "file-actions-");
};

// ---- copy: destinations

TEST_F(FileActions, F1_7_5_AFileToAName) {
  put_text(src() / "a", "A", 0640);
  run(copy("/a", "/b"));
  EXPECT_EQ(listing(dst()), "b 0640 A\n");
}

TEST_F(FileActions, F1_7_5_AFileIntoADirectoryOrALinkToOne) {
  put_text(src() / "a", "A");
  fs::create_directory(dst() / "dir");
  fs::create_symlink("/dir", dst() / "link");
  run(copy("/a", "/dir"));
  EXPECT_EQ(listing(dst() / "dir"), "a 0644 A\n");
  put_text(src() / "b", "B");
  run(copy("/b", "/link"));
  EXPECT_EQ(listing(dst() / "dir"), "a 0644 A\nb 0644 B\n");
  EXPECT_TRUE(fs::is_symlink(dst() / "link"));
}

TEST_F(FileActions, F10_2_ALinkToAFileIsWrittenThrough) {
  put_text(src() / "a", "A");
  put_text(dst() / "t", "old");
  fs::create_symlink("t", dst() / "l");
  fs::create_symlink("missing/too", dst() / "dangling");
  run(copy("/a", "/l"));
  EXPECT_EQ(listing(dst()), "dangling -> missing/too\nl -> t\nt 0644 A\n");
  fs::create_directory(dst() / "missing");
  run(copy("/a", "/dangling"));
  EXPECT_EQ(test::text_of(dst() / "missing/too"), "A");
}

TEST_F(FileActions, F1_7_6_ATrailingSlashMakesADirectory) {
  put_text(src() / "a", "A", 0600);
  run(copy("/a", "/x/y/"));
  EXPECT_EQ(listing(dst()), "x/ 0755\nx/y/ 0755\nx/y/a 0600 A\n");
  run(copy("/a", "/z/."));
  EXPECT_EQ(listing(dst() / "z"), "a 0600 A\n");
}

TEST_F(FileActions, F10_1_ADirectorysContents) {
  put_text(src() / "d/e/f", "F");
  ::chmod((src() / "d").c_str(), 0700);
  ::chmod((src() / "d/e").c_str(), 0711);
  set_time(src() / "d/e/f", 1000);
  set_time(src() / "d/e", 1001);
  set_time(src() / "d", 1002);
  fs::create_directories(dst() / "x/e");
  run(copy("/d", "/x"));
  EXPECT_EQ(listing(dst()), "x/ 0755\nx/e/ 0711\nx/e/f 0644 F\n");
  EXPECT_EQ(time_of(dst() / "x"), 1002);
  EXPECT_EQ(time_of(dst() / "x/e"), 1001);
  EXPECT_EQ(time_of(dst() / "x/e/f"), 1000);
  run(copy("/d/", "/new/"));
  EXPECT_EQ(listing(dst() / "new"), "e/ 0711\ne/f 0644 F\n");
  EXPECT_EQ(time_of(dst() / "new"), 1002);
  struct stat status{};
  ::stat((dst() / "new").c_str(), &status);
  EXPECT_EQ(status.st_mode & 07777U, 0755U)
      << "1.7.7: the source directory's own mode is not applied";
}

TEST_F(FileActions, F10_3_SameNameInsideADirectory) {
  put_text(src() / "d/l", "new");
  put_text(dst() / "t", "old");
  fs::create_symlink("t", dst() / "l");
  run(copy("/d", "/"));
  EXPECT_EQ(listing(dst()), "l 0644 new\nt 0644 old\n");

  put_text(src() / "e/k/x", "x");
  fs::create_directory(dst() / "dir");
  fs::create_symlink("dir", dst() / "k");
  EXPECT_EQ(error_of(copy("/e", "/")), "cannot copy to non-directory: /k");
}

TEST_F(FileActions, F10_4_TypeClashes) {
  put_text(src() / "d/x", "file");
  fs::create_directories(dst() / "x");
  EXPECT_EQ(error_of(copy("/d", "/")), "cannot replace to directory /x with file");
  put_text(src() / "e/y/z", "z");
  put_text(dst() / "y", "file");
  EXPECT_EQ(error_of(copy("/e", "/")), "cannot copy to non-directory: /y");
  EXPECT_EQ(error_of(copy("/e", "/y")), "cannot copy to non-directory: /y");
}

TEST_F(FileActions, F2_4_5_AlwaysReplace) {
  put_text(src() / "d/x", "file");
  put_text(src() / "d/y/z", "z");
  fs::create_directories(dst() / "x/deep");
  put_text(dst() / "y", "file");
  pb::FileAction action = copy("/d", "/");
  action.mutable_copy()->set_alwaysreplaceexistingdestpaths(true);
  run(action);
  EXPECT_EQ(listing(dst()), "x 0644 file\ny/ 0755\ny/z 0644 z\n");
}

TEST_F(FileActions, F1_7_8_F10_5_TheLastSourceWins) {
  put_text(src() / "a", "A");
  put_text(src() / "b", "B");
  run(copy("/[ab]", "/x"));
  EXPECT_EQ(listing(dst()), "x 0644 B\n");
}

// ---- copy: sources

TEST_F(FileActions, F1_7_9_Wildcards) {
  put_text(src() / "d/a.txt", "1");
  put_text(src() / "d/b.txt", "2");
  put_text(src() / "d/c.md", "3");
  put_text(src() / "d/e.txt/inner", "4");
  put_text(src() / "d/sub/f.txt", "5");
  run(copy("/d/*.txt", "/x/"));
  EXPECT_EQ(listing(dst()), "x/ 0755\nx/a.txt 0644 1\nx/b.txt 0644 2\nx/inner 0644 4\n");
}

TEST_F(FileActions, F10_6_NoMatchIsNothing) {
  run(copy("/*.none", "/x/"));
  EXPECT_EQ(listing(dst()), "");
  pb::FileAction action = copy("/*.none", "/x/");
  action.mutable_copy()->set_allowemptywildcard(false);
  EXPECT_EQ(error_of(action), "/*.none not found") << "2.4.4";
  EXPECT_EQ(error_of(copy("/missing", "/x/")), "lstat /missing: no such file or directory");
}

TEST_F(FileActions, F10_7_EscapedBrackets) {
  put_text(src() / "arr[0].txt", "0");
  put_text(src() / "arr0.txt", "1");
  run(copy("/arr[[]0].txt", "/x"));
  EXPECT_EQ(listing(dst()), "x 0644 0\n");
}

TEST_F(FileActions, F1_7_3_F10_8_DotDotStaysInside) {
  put_text(src() / "a", "A");
  run(copy("/../../a", "/../../b"));
  EXPECT_EQ(listing(dst()), "b 0644 A\n");
}

TEST_F(FileActions, F1_7_10_F10_10_LinksAsSources) {
  put_text(src() / "real/f", "F");
  fs::create_symlink("/real", src() / "abs");
  fs::create_symlink("f", src() / "real/inner");
  fs::create_symlink("../../../real/f", src() / "climbs");
  run(copy("/abs", "/x"));
  run(copy("/climbs", "/y"));
  EXPECT_EQ(listing(dst()), "x/ 0755\nx/f 0644 F\nx/inner -> f\ny 0644 F\n");
  pb::FileAction action = copy("/abs", "/z");
  action.mutable_copy()->set_followsymlink(false);
  run(action);
  EXPECT_EQ(fs::read_symlink(dst() / "z"), "/real");
}

TEST_F(FileActions, F10_11_HardLinks) {
  put_text(src() / "d/h1", "H");
  fs::create_hard_link(src() / "d/h1", src() / "d/h2");
  run(copy("/d", "/x/"));
  EXPECT_EQ(fs::hard_link_count(dst() / "x/h1"), 2U);
  EXPECT_TRUE(fs::equivalent(dst() / "x/h1", dst() / "x/h2"));
  run(copy("/d/h*", "/y/"));
  EXPECT_EQ(fs::hard_link_count(dst() / "y/h1"), 1U) << "each match is a copy of its own";
}

TEST_F(FileActions, F1_7_11_MetadataIsKept) {
  put_text(src() / "d/f", "F", 04750);
  ::mkfifo((src() / "d/p").c_str(), 0600);
  ::chmod((src() / "d/p").c_str(), 0620);
  ASSERT_EQ(::chown((src() / "d/f").c_str(), 11, 22), 0);
  ::chmod((src() / "d/f").c_str(), 04750);
  bool const has_xattrs = ::setxattr((src() / "d/f").c_str(), "user.k", "v", 1, 0) == 0;
  ::setxattr((src() / "d").c_str(), "user.overlay.opaque", "y", 1, 0);
  timespec const times[2] = {{5, 6}, {7, 8}};
  ::utimensat(AT_FDCWD, (src() / "d/f").c_str(), times, 0);
  run(copy("/d", "/x"));
  EXPECT_EQ(listing(dst()), "x/ 0755\nx/f 4750 F 11:22\nx/p 0620 special\n");
  struct stat status{};
  ::stat((dst() / "x/f").c_str(), &status);
  EXPECT_EQ(status.st_mtim.tv_nsec, 8);
  char value[8];
  if (has_xattrs) {
    EXPECT_EQ(::getxattr((dst() / "x/f").c_str(), "user.k", value, sizeof value), 1);
  }
  EXPECT_EQ(::getxattr((dst() / "x").c_str(), "user.overlay.opaque", value, sizeof value), -1)
      << "a context must not hide what is below a layer";
}

TEST_F(FileActions, F1_7_11_F10_23_LocalFilesAreRoots) {
  put_text(src() / "f", "F");
  ASSERT_EQ(::chown((src() / "f").c_str(), 11, 22), 0);
  run(copy("/f", "/x"), FileTree::Kind::kLocal);
  EXPECT_EQ(listing(dst()), "x 0644 F\n");
}

TEST_F(FileActions, SparseAndLargeFilesAreWhole) {
  std::string big(3 << 20, 'x');
  put_text(src() / "big", big);
  run(copy("/big", "/big"));
  EXPECT_EQ(test::text_of(dst() / "big"), big);
}

// ---- copy: owner and mode

TEST_F(FileActions, F10_15_OwnersOfCreatedParents) {
  put_text(src() / "a", "A");
  fs::create_directory(dst() / "old");
  pb::FileAction action = copy("/a", "/old/new/a");
  own(action, 5, 6);
  run(action);
  EXPECT_EQ(listing(dst()), "old/ 0755\nold/new/ 0755 5:6\nold/new/a 0644 A 5:6\n");
}

TEST_F(FileActions, CreatedParentsInheritSetgid) {
  put_text(src() / "f", "f");
  fs::create_directories(dst() / "shared");
  ASSERT_EQ(::chmod((dst() / "shared").c_str(), 02775), 0);
  run(copy("f", "/shared/new/f"));
  EXPECT_EQ(
      TargetRoot(open_file(dst(), O_RDONLY | O_DIRECTORY)).status("/shared/new")->st_mode & 07777,
      02755U);
}

TEST_F(FileActions, CapabilitiesOfAContextAreNotTaken) {
  put_text(src() / "f", "f");
  std::string const capability("\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  ASSERT_EQ(::setxattr((src() / "f").c_str(), "security.capability", capability.data(),
                       capability.size(), 0),
            0);
  run(copy("f", "/local"), FileTree::Kind::kLocal);
  run(copy("f", "/of-a-stage"));
  EXPECT_LT(::getxattr((dst() / "local").c_str(), "security.capability", nullptr, 0), 0);
  EXPECT_EQ(::getxattr((dst() / "of-a-stage").c_str(), "security.capability", nullptr, 0), 20);
}

TEST_F(FileActions, F10_16_OctalModes) {
  put_text(src() / "d/e/f", "F");
  fs::create_symlink("f", src() / "d/l");
  pb::FileAction action = copy("/d", "/n/m/");
  action.mutable_copy()->set_mode(0751);
  run(action);
  EXPECT_EQ(listing(dst()), "n/ 0751\nn/m/ 0751\nn/m/e/ 0751\nn/m/e/f 0751 F\nn/m/l -> f\n");
}

TEST_F(FileActions, F10_16_SymbolicModes) {
  put_text(src() / "d/e/f", "F", 0666);
  put_text(src() / "d/x", "X", 0100);
  pb::FileAction action = copy("/d", "/n/m/");
  action.mutable_copy()->set_modestr("u=rwX,go=rX");
  run(action);
  EXPECT_EQ(listing(dst()), "n/ 0755\nn/m/ 0755\nn/m/e/ 0755\nn/m/e/f 0644 F\nn/m/x 0755 X\n");
}

TEST_F(FileActions, TimestampsGoEverywhere) {
  put_text(src() / "d/e/f", "F");
  fs::create_symlink("f", src() / "d/l");
  pb::FileAction action = copy("/d", "/n/m/");
  action.mutable_copy()->set_timestamp(1'700'000'000'000'000'000);
  run(action);
  for (const char* path : {"n", "n/m", "n/m/e", "n/m/e/f", "n/m/l"}) {
    EXPECT_EQ(time_of(dst() / path), 1'700'000'000) << path;
  }
}

// ---- copy: filters

TEST_F(FileActions, F1_7_15_Exclude) {
  put_text(src() / "d/a.txt", "1");
  put_text(src() / "d/b.md", "2");
  put_text(src() / "d/e/c.txt", "3");
  put_text(src() / "d/e/keep.txt", "4");
  put_text(src() / "d/e/d.md", "5");
  pb::FileAction action = copy("/d", "/x/");
  action.mutable_copy()->add_exclude_patterns("**/*.txt");
  action.mutable_copy()->add_exclude_patterns("!e/keep.txt");
  run(action);
  EXPECT_EQ(listing(dst()),
            "x/ 0755\nx/b.md 0644 2\nx/e/ 0755\nx/e/d.md 0644 5\nx/e/keep.txt 0644 4\n");
}

TEST_F(FileActions, F10_12_ADirectSourceIsNotFiltered) {
  put_text(src() / "hom1.txt", "1");
  put_text(src() / "homd/x.txt", "2");
  put_text(src() / "homd/x.md", "3");
  pb::FileAction action = copy("/hom*", "/m/");
  action.mutable_copy()->add_exclude_patterns("*.txt");
  run(action);
  EXPECT_EQ(listing(dst()), "m/ 0755\nm/hom1.txt 0644 1\nm/x.md 0644 3\n");
}

TEST_F(FileActions, IncludeMakesParentsOnDemand) {
  put_text(src() / "d/a/b/c", "C");
  put_text(src() / "d/a/other", "no");
  put_text(src() / "d/z/other", "no");
  ::chmod((src() / "d/a").c_str(), 0711);
  pb::FileAction action = copy("/d", "/x/");
  action.mutable_copy()->add_include_patterns("a/*/c");
  run(action);
  EXPECT_EQ(listing(dst()), "x/ 0755\nx/a/ 0711\nx/a/b/ 0755\nx/a/b/c 0644 C\n");
}

// ---- copy: other options

TEST_F(FileActions, F2_4_3_WithoutCreateDestPath) {
  put_text(src() / "a", "A");
  pb::FileAction action = copy("/a", "/no/such/a");
  action.mutable_copy()->set_createdestpath(false);
  EXPECT_THAT(error_of(action), testing::StartsWith("failed to stat /no/such/a"));
}

TEST_F(FileActions, CopyOfTheDirectoryItself) {
  put_text(src() / "d/f", "F");
  ::chmod((src() / "d").c_str(), 0711);
  fs::create_directory(dst() / "x");
  pb::FileAction action = copy("/d", "/x");
  action.mutable_copy()->set_dircopycontents(false);
  run(action);
  EXPECT_EQ(listing(dst()), "x/ 0755\nx/d/ 0711\nx/d/f 0644 F\n");
}

TEST_F(FileActions, F2_4_11_LinksDoNotLeadOut) {
  fs::path const outside = src().parent_path() / "outside";
  fs::create_directory(outside);
  fs::create_symlink(outside, dst() / "abs");
  fs::create_symlink("../../../../../.." + outside.string(), dst() / "rel");
  put_text(src() / "a", "A");
  run(copy("/a", "/abs/a"));
  run(copy("/a", "/rel/b"));
  EXPECT_TRUE(fs::is_empty(outside));
  EXPECT_TRUE(fs::exists(dst() / outside.relative_path() / "a"));
  fs::create_symlink("/loop", dst() / "loop");
  EXPECT_EQ(error_of(copy("/a", "/loop/x")), "too many links: /loop/");
}

// ---- mkfile, mkdir, rm, symlink

TEST_F(FileActions, F2_4_6_MkFile) {
  pb::FileAction action;
  auto& file = *action.mutable_mkfile();
  file.set_path("/f");
  file.set_mode(07600);
  file.set_data("first");
  file.set_timestamp(1'000'000'000'000);
  file.mutable_owner()->mutable_user()->set_byid(3);
  run(action);
  EXPECT_EQ(listing(dst()), "f 0600 first 3:3\n");
  EXPECT_EQ(time_of(dst() / "f"), 1000);
  fs::create_symlink("f", dst() / "l");
  file.set_path("/l");
  file.set_mode(0777);
  file.set_data("2");
  file.clear_owner();
  run(action);
  EXPECT_EQ(listing(dst()), "f 0600 2 3:3\nl -> f\n");
  file.set_path("/no/f");
  EXPECT_EQ(error_of(action), "open /no/f: no such file or directory");
}

TEST_F(FileActions, F2_4_7_MkDir) {
  pb::FileAction action;
  auto& mkdir = *action.mutable_mkdir();
  mkdir.set_path("/a/b");
  mkdir.set_mode(0777);
  mkdir.set_timestamp(-1);
  EXPECT_EQ(error_of(action), "mkdir /a/b: no such file or directory");
  mkdir.set_makeparents(true);
  mkdir.mutable_owner()->mutable_user()->set_byid(4);
  run(action);
  EXPECT_EQ(listing(dst()), "a/ 0777 4:4\na/b/ 0777 4:4\n") << "the umask does not count";
  mkdir.set_mode(0700);
  run(action);
  mkdir.set_makeparents(false);
  run(action);
  EXPECT_EQ(listing(dst()), "a/ 0777 4:4\na/b/ 0777 4:4\n") << "existing ones are left alone";
  put_text(dst() / "f", "F");
  mkdir.set_path("/f/x");
  mkdir.set_makeparents(true);
  EXPECT_THAT(error_of(action), testing::HasSubstr("not a directory"));
}

TEST_F(FileActions, F2_4_8_Rm) {
  put_text(dst() / "d/e/f", "F");
  put_text(dst() / "x.a", "1");
  put_text(dst() / "x.b", "2");
  fs::create_symlink("d", dst() / "l");
  pb::FileAction action;
  auto& rm = *action.mutable_rm();
  rm.set_path("/");
  EXPECT_EQ(error_of(action), "rmPath: invalid empty path");
  rm.set_path("/none");
  EXPECT_EQ(error_of(action), "stat /none: no such file or directory");
  rm.set_allownotfound(true);
  run(action);
  rm.set_path("/l");
  run(action);
  EXPECT_TRUE(fs::exists(dst() / "d/e/f")) << "the last link is not followed";
  fs::create_symlink("d", dst() / "l");
  rm.set_path("/l/e");
  run(action);
  EXPECT_EQ(listing(dst()), "d/ 0755\nl -> d\nx.a 0644 1\nx.b 0644 2\n");
  rm.set_path("/x.*");
  rm.set_allowwildcard(true);
  run(action);
  EXPECT_EQ(listing(dst()), "d/ 0755\nl -> d\n");
}

TEST_F(FileActions, F2_4_9_Symlink) {
  pb::FileAction action;
  action.mutable_symlink()->set_oldpath("../t");
  action.mutable_symlink()->set_newpath("/l");
  action.mutable_symlink()->set_timestamp(2'000'000'000);
  run(action);
  EXPECT_EQ(listing(dst()), "l -> ../t\n");
  EXPECT_EQ(time_of(dst() / "l"), 2);
  put_text(dst() / "f", "");
  action.mutable_symlink()->set_newpath("/f");
  EXPECT_EQ(error_of(action), "symlink ../t /f: file exists");
}

// ---- owners by name

TEST(ResolveOwner, F10_14_F10_15) {
  std::string const passwd = "bob:x:77:78::/:\n";
  std::string const group = "grp:x:9:\n";
  pb::ChownOpt owner;
  owner.mutable_user()->set_byid(5);
  EXPECT_EQ(resolve_owner(owner, passwd, group), (Owner{5, 5}));
  owner.mutable_group()->mutable_byname()->set_name("grp");
  EXPECT_EQ(resolve_owner(owner, passwd, group), (Owner{5, 9}));
  owner.mutable_user()->mutable_byname()->set_name("bob");
  owner.clear_group();
  EXPECT_EQ(resolve_owner(owner, passwd, group), (Owner{77, 78}));
  owner.mutable_user()->mutable_byname()->set_name("nobody");
  EXPECT_EQ(resolve_owner(owner, passwd, group), (Owner{0, 0}));
  EXPECT_EQ(resolve_owner(owner, std::nullopt, std::nullopt), (Owner{0, 0}));
}

struct ModeCase {
  const char* change;
  mode_t before;
  mode_t after;
};

class ModeChanges : public testing::TestWithParam<ModeCase> {};

TEST_P(ModeChanges, Table) {
  const ModeCase& c = GetParam();
  EXPECT_EQ(ModeChange::parse(c.change).apply(c.before), c.after) << c.change;
}

INSTANTIATE_TEST_SUITE_P(
    Rows, ModeChanges,
    testing::Values(ModeCase{"u=rwX,go=rX", S_IFREG | 0666, 0644},
                    ModeCase{"u=rwX,go=rX", S_IFREG | 0700, 0755},
                    ModeCase{"u=rwX,go=rX", S_IFDIR | 0600, 0755},
                    ModeCase{"go-w", S_IFREG | 0777, 0755}, ModeCase{"+x", S_IFREG | 0644, 0755},
                    ModeCase{"=r", S_IFREG | 04777, 0444},
                    ModeCase{"u+s,g+s,o+t", S_IFREG | 0755, 06755},
                    ModeCase{"a+t", S_IFDIR | 0755, 01755},
                    ModeCase{"go=u-w", S_IFREG | 0700, 0755}, ModeCase{"g=u", S_IFREG | 0640, 0660},
                    ModeCase{"0751", S_IFREG | 07000, 0751}, ModeCase{"go=", S_IFREG | 0777, 0700},
                    ModeCase{"u-x+w", S_IFREG | 0500, 0600}));

TEST(ModeChangeSyntax, IsChecked) {
  for (const char* bad : {"", "u", "u=q", "q=r", "u=r,", "08", "77777", "+", ",u=r"}) {
    if (std::string(bad) == "+") continue;  // no permission at all is fine
    EXPECT_THROW(static_cast<void>(ModeChange::parse(bad)), Error) << bad;
  }
}

}  // namespace
}  // namespace cobuild::ops
