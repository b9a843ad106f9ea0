// The listing of a local source: read by several threads, in the same order and with the same
// results as by one.

#include <gtest/gtest.h>

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/sys/fs.hpp"
#include "ops/file_tree.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;

constexpr int kDirectories = 12;
constexpr int kFiles = 20;
constexpr int kFilesOfTheWideOne = 1'200;  // more than one batch

std::string text_of(int index) {
  return std::string(static_cast<std::size_t>(index % 17), 'x');
}

/// A tree with one wide directory, a link in each other one, and a deep one.
void make_tree(const fs::path& root) {
  for (int d = 0; d < kDirectories; ++d) {
    fs::path const directory = root / ("d" + std::to_string(d)) / "e";
    fs::create_directories(directory);
    for (int f = 0; f < kFiles; ++f) {
      std::ofstream(directory / ("f" + std::to_string(f))) << text_of(f);
    }
    fs::create_symlink("f" + std::to_string(d), directory / "link");
  }
  fs::create_directory(root / "wide");
  for (int f = 0; f < kFilesOfTheWideOne; ++f) {
    std::ofstream(root / "wide" / ("f" + std::to_string(f))) << text_of(f);
  }
}

/// Checks each entry below `directory` against its file; returns how many there are.
std::size_t check(const FileTree::Entry& directory, const fs::path& path) {
  std::size_t count = 0;
  const std::string* former = nullptr;
  for (const FileTree::Entry* entry : directory.entries) {
    fs::path const own = path / entry->name;
    struct stat status{};
    EXPECT_EQ(::lstat(own.c_str(), &status), 0) << own;
    EXPECT_EQ(entry->mode, status.st_mode) << own;
    EXPECT_EQ(entry->inode, status.st_ino) << own;
    EXPECT_EQ(entry->size, status.st_size) << own;
    EXPECT_EQ(entry->uid, 0U) << own;
    if (entry->is_link()) EXPECT_EQ(entry->link_target, fs::read_symlink(own)) << own;
    if (former != nullptr) EXPECT_LT(*former, entry->name);
    former = &entry->name;
    count += 1 + check(*entry, own);
  }
  return count;
}

TEST(LocalScan, ReadsEveryEntryOnceInOrder) {
  TempDir const directory = TempDir::create(fs::temp_directory_path(), "local-scan-");
  make_tree(directory.path());
  auto const tree = FileTree::scan(directory.path(), {});
  std::size_t const expected = kDirectories * (kFiles + 3) + kFilesOfTheWideOne + 1;
  EXPECT_EQ(check(tree->root(), directory.path()), expected);
  EXPECT_EQ(tree->entries_listed(), expected + 1);
  std::int64_t bytes = 0;
  for (int d = 0; d < kDirectories; ++d) {
    for (int f = 0; f < kFiles; ++f) bytes += f % 17;
  }
  for (int f = 0; f < kFilesOfTheWideOne; ++f) bytes += f % 17;
  EXPECT_EQ(tree->bytes_listed(), bytes);
}

TEST(LocalScan, KeepsTheDirectoriesOnTheWayToWhatIsIncluded) {
  TempDir const directory = TempDir::create(fs::temp_directory_path(), "local-scan-");
  make_tree(directory.path());
  TreeFilter filter;
  filter.include_patterns = {"d7/e/f3", "wide/f1?"};
  auto const tree = FileTree::scan(directory.path(), filter);
  EXPECT_EQ(check(tree->root(), directory.path()), 3U + 11U);
  EXPECT_NE(tree->find("d7/e/f3", false), nullptr);
  EXPECT_EQ(tree->find("d7/e/f4", false), nullptr);
}

}  // namespace
}  // namespace cobuild::ops
