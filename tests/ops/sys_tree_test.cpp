#include "core/sys/tree.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>

#include "core/base/error.hpp"
#include "tree_listing.hpp"

namespace cobuild {
namespace {

namespace fs = std::filesystem;
using test::put_text;

class SysTree : public testing::Test {
 protected:
  TempDir directory_ = TempDir::create(fs::temp_directory_path(), "sys-tree-");
  fs::path root() const { return directory_.path(); }
};

TEST_F(SysTree, RemovesEverythingAndNothingElse) {
  put_text(root() / "kept", "K");
  put_text(root() / "t/a/b/c", "C");
  fs::create_symlink("../../kept", root() / "t/a/link");
  fs::create_directory_symlink("..", root() / "t/up");
  ::chmod((root() / "t/a/b").c_str(), 0);
  remove_tree(root() / "t");
  EXPECT_FALSE(fs::exists(root() / "t"));
  EXPECT_EQ(test::text_of(root() / "kept"), "K");
  remove_tree(root() / "t");  // nothing there is no error
  fs::create_symlink("kept", root() / "l");
  remove_tree(root() / "l");
  EXPECT_TRUE(fs::exists(root() / "kept"));
}

TEST_F(SysTree, RemovesAnyDepth) {
  constexpr int kDepth = 1500;  // more than there are descriptors, and longer than a path may be
  fs::create_directory(root() / "t");
  UniqueFd at = open_file(root() / "t", O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(::mkdirat(at.get(), "dd", 0755), 0);
    UniqueFd const file(::openat(at.get(), "f", O_CREAT | O_WRONLY, 0644));
    at = UniqueFd(::openat(at.get(), "dd", O_RDONLY | O_DIRECTORY));
  }
  remove_tree(root() / "t");
  EXPECT_FALSE(fs::exists(root() / "t"));
}

TEST_F(SysTree, RemovesInSeveralGoes) {
  put_text(root() / "t/a/b/c", "C");
  using Clock = std::chrono::steady_clock;
  EXPECT_FALSE(remove_tree_until(root() / "t", Clock::time_point::min()));
  EXPECT_TRUE(fs::exists(root() / "t/a/b/c"));
  EXPECT_TRUE(remove_tree_until(root() / "t", Clock::time_point::max()));
  EXPECT_FALSE(fs::exists(root() / "t"));
  EXPECT_TRUE(remove_tree_until(root() / "t", Clock::time_point::min())) << "nothing is there";
}

TEST_F(SysTree, OpensOnlyBeneathTheRoot) {
  put_text(root() / "in/etc/passwd", "inside");
  put_text(root() / "secret", "outside");
  fs::create_symlink("../secret", root() / "in/up");
  fs::create_symlink("/etc/passwd", root() / "in/abs");
  UniqueFd const fd = open_file(root() / "in", O_PATH | O_DIRECTORY);
  int error = 0;
  EXPECT_FALSE(try_open_in_root(fd.get(), "/up", O_RDONLY, error));
  EXPECT_EQ(error, ENOENT);
  EXPECT_FALSE(try_open_in_root(fd.get(), "../secret", O_RDONLY, error));
  UniqueFd const file = open_in_root(fd.get(), "abs", O_RDONLY);
  char text[16]{};
  EXPECT_EQ(::read(file.get(), text, sizeof text), 6);
  EXPECT_STREQ(text, "inside");
  EXPECT_THROW(static_cast<void>(open_in_root(fd.get(), "/none", O_RDONLY)), Error);
}

TEST_F(SysTree, ListsInOrder) {
  for (const char* name : {"b", "a", "a-b", "B", ".hidden"}) put_text(root() / name, "");
  UniqueFd const fd = open_file(root(), O_RDONLY | O_DIRECTORY);
  for (int round = 0; round < 2; ++round) {
    std::string names;
    for (const DirectoryEntry& entry : list_directory(fd.get())) names += entry.name + " ";
    EXPECT_EQ(names, ".hidden B a a-b b ");
  }
}

TEST_F(SysTree, CopiesContent) {
  std::string const text(1'000'003, 'x');
  put_text(root() / "a", text);
  UniqueFd const from = open_file(root() / "a", O_RDONLY);
  UniqueFd const to = open_file(root() / "b", O_WRONLY | O_CREAT, 0644);
  copy_file_content(from.get(), to.get());
  EXPECT_EQ(test::text_of(root() / "b"), text);
}

TEST_F(SysTree, ReadsAttributesOfLinksThemselves) {
  put_text(root() / "a", "A");
  fs::create_symlink("a", root() / "l");
  UniqueFd const fd = open_file(root(), O_RDONLY | O_DIRECTORY);
  if (set_xattr_at(fd.get(), "a", "user.k", "v") != 0)
    GTEST_SKIP() << "no xattrs in the temporary directory";
  EXPECT_EQ(read_xattrs_at(fd.get(), "a").size(), 1U);
  EXPECT_TRUE(read_xattrs_at(fd.get(), "l").empty());
  UniqueFd const link = open_file(root() / "l", O_PATH | O_NOFOLLOW);
  EXPECT_TRUE(read_xattrs_at(link.get(), "").empty()) << "the link, not its target";
}

}  // namespace
}  // namespace cobuild
