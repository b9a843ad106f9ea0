#include "ops/user_lookup.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::ops {
namespace {

constexpr std::string_view kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "\n"
    "bob:x:77:78:Bob,,,:/home/bob:/bin/sh\n"
    "short:x:90\n"
    "odd:x:abc:5\n";
constexpr std::string_view kGroup =
    "root:x:0:\n"
    "# comment:x:1:bob\n"
    "bobs:x:78:\n"
    "audio:x:63:root,bob\n"
    "extra:x:500:bob\n";

struct Case {
  const char* row;
  const char* spec;
  ExecUser expected;
  const char* error = nullptr;
};

class LookupExecUser : public testing::TestWithParam<Case> {};

TEST_P(LookupExecUser, Table) {
  const Case& c = GetParam();
  if (c.error != nullptr) {
    try {
      static_cast<void>(lookup_exec_user(c.spec, kPasswd, kGroup));
      FAIL() << "should have thrown";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), c.error);
    }
    return;
  }
  ExecUser const user = lookup_exec_user(c.spec, kPasswd, kGroup);
  EXPECT_EQ(user.uid, c.expected.uid);
  EXPECT_EQ(user.gid, c.expected.gid);
  EXPECT_EQ(user.additional_gids, c.expected.additional_gids);
  EXPECT_EQ(user.home, c.expected.home);
}

INSTANTIATE_TEST_SUITE_P(
    Rows, LookupExecUser,
    testing::Values(Case{"default", "", {0, 0, {63}, "/root"}, nullptr},
                    Case{"10.51 name", "bob", {77, 78, {63, 500}, "/home/bob"}, nullptr},
                    Case{"10.51 listed uid", "77", {77, 78, {63, 500}, "/home/bob"}, nullptr},
                    Case{"10.51 pair of numbers", "77:77", {77, 77, {}, ""}, nullptr},
                    Case{"10.51 explicit group", "bob:extra", {77, 500, {}, "/home/bob"}, nullptr},
                    Case{"10.51 unlisted uid", "1234", {1234, 0, {}, ""}, nullptr},
                    Case{"1.8.2 root in a pair", "root:5", {0, 5, {}, ""}, nullptr},
                    Case{"1.8.2 name and number", "bob:9", {77, 9, {}, "/home/bob"}, nullptr},
                    Case{"missing fields", "short", {90, 0, {}, ""}, nullptr},
                    Case{"no number", "odd", {0, 5, {}, ""}, nullptr},
                    Case{"10.52",
                         "nobody",
                         {},
                         "unable to find user nobody: no matching entries in passwd file"},
                    Case{"10.52 group",
                         "bob:none",
                         {},
                         "unable to find group none: no matching entries in group file"},
                    Case{"range", "99999999999", {}, "uids and gids must be in range 0-2147483647"},
                    Case{
                        "range", "3000000000", {}, "uids and gids must be in range 0-2147483647"}));

TEST(LookupExecUserFiles, AreNotNeededForNumbers) {
  ExecUser const user = lookup_exec_user("1000", std::nullopt, std::nullopt);
  EXPECT_EQ(user.uid, 1000U);
  EXPECT_EQ(user.gid, 0U);
  EXPECT_THROW(static_cast<void>(lookup_exec_user("bob", std::nullopt, std::nullopt)), Error);
  EXPECT_EQ(lookup_exec_user("", std::nullopt, std::nullopt).uid, 0U);
}

TEST(ResolveExecUser, FollowsLinksInsideTheRootOnly) {
  TempDir const root = TempDir::create(std::filesystem::temp_directory_path(), "users-");
  std::filesystem::create_directories(root.path() / "etc");
  std::filesystem::create_directories(root.path() / "real");
  std::ofstream(root.path() / "real/passwd") << kPasswd;
  std::filesystem::create_symlink("/real/passwd", root.path() / "etc/passwd");
  UniqueFd const fd = open_file(root.path(), O_PATH | O_DIRECTORY);
  EXPECT_EQ(resolve_exec_user(fd.get(), "bob").uid, 77U);
  ::mkfifo((root.path() / "etc/group").c_str(), 0644);  // must not hang
  EXPECT_EQ(resolve_exec_user(fd.get(), "bob").gid, 78U);
}

TEST(FindHome, IsTheRootForUsersThatAreNotListed) {
  TempDir const root = TempDir::create(std::filesystem::temp_directory_path(), "users-");
  UniqueFd const fd = open_file(root.path(), O_PATH | O_DIRECTORY);
  EXPECT_EQ(find_home(fd.get(), 77), "/");
  std::filesystem::create_directories(root.path() / "etc");
  std::ofstream(root.path() / "etc/passwd") << kPasswd;
  EXPECT_EQ(find_home(fd.get(), 77), "/home/bob");
  EXPECT_EQ(find_home(fd.get(), 4242), "/");
}

}  // namespace
}  // namespace cobuild::ops
