/// Random layers: what is unpacked from what was packed is the same, and packs the same again.

#include <gtest/gtest.h>

#include <cerrno>
#include <random>
#include <string>
#include <vector>

#include "oci/layer_apply.hpp"
#include "oci/layer_diff.hpp"
#include "oci/layer_tree.hpp"

namespace cobuild::oci {
namespace {

namespace fs = std::filesystem;
using test::describe;
using test::Scratch;
using test::tar_of;

class RandomLayer : public testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !test::can_make_whiteouts()) {
      GTEST_SKIP() << "owners and whiteouts need root or a user namespace";
    }
  }

  unsigned pick(unsigned below) {
    return std::uniform_int_distribution<unsigned>(0, below - 1)(random_);
  }

  std::string name() {
    static const std::vector<std::string> kNames = {
        "a", "b", "B", "a.b", "a-b", "ü", "with space", ".hidden", "\xff\xfe", "=", "%"};
    std::string text = kNames[pick(static_cast<unsigned>(kNames.size()))];
    if (pick(8) == 0) text += std::string(pick(200), 'n');
    return text;
  }

  /// Adds to `directory`; `lower` is what is below it, if that is a directory too.
  void fill(const fs::path& directory, const fs::path& lower, int depth) {
    for (unsigned i = 0; i < 1 + pick(7); ++i) {
      fs::path const path = directory / name();
      std::error_code error;
      if (fs::exists(fs::symlink_status(path, error))) continue;
      switch (pick(9)) {
        case 0:
        case 1:
        case 2:
          if (depth == 0) break;
          fs::create_directory(path);
          if (pick(5) == 0 && !lower.empty()) test::make_opaque(path);
          fill(path, lower.empty() ? fs::path() : lower / path.filename(), depth - 1);
          break;
        case 3: fs::create_symlink("to/" + name(), path); break;
        case 4: ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0); break;
        case 5:
          if (!files_.empty())
            fs::create_hard_link(files_[pick(static_cast<unsigned>(files_.size()))], path);
          continue;  // Shares the metadata of its file.
        case 6:
          if (lower.empty()) break;
          test::make_whiteout(path);
          continue;
        default:
          test::write_text(path, std::string(pick(3) * 700, static_cast<char>('a' + pick(26))));
          files_.push_back(path);
          break;
      }
      decorate(path);
    }
  }

  void decorate(const fs::path& path) {
    struct stat status{};
    if (::lstat(path.c_str(), &status) != 0) return;
    // Above 2^21 a tar header needs its extended form; a user namespace may not have such ids.
    gid_t const group = pick(2) * 3'000'000;
    if (::lchown(path.c_str(), pick(3) * 1000, group) != 0) {
      ASSERT_EQ(errno, EINVAL);
      ASSERT_EQ(::lchown(path.c_str(), 1000, 5), 0);
    }
    if (!S_ISLNK(status.st_mode)) {
      ASSERT_EQ(::chmod(path.c_str(), (pick(2) == 0 ? 0755 : 0640) | (pick(5) == 0 ? 06000 : 0)),
                0);
    }
    test::set_time(path, static_cast<std::int64_t>(pick(2'000'000'000)));
  }

  std::mt19937 random_{GetParam()};
  std::vector<fs::path> files_;
  Scratch scratch_;
};

TEST_P(RandomLayer, ComesBackTheSame) {
  fs::path const original = scratch_.make("original");
  fill(original, {}, 4);
  std::string const tar = tar_of(original);
  fs::path const copy = scratch_.make("copy");
  AppliedLayer const applied = test::unpack(tar, copy);
  EXPECT_EQ(applied.diff_id, DiffId(Digest::of(tar)));
  EXPECT_TRUE(applied.is_complete());
  EXPECT_EQ(describe(original), describe(copy));
  EXPECT_TRUE(tar_of(copy) == tar);
}

/// Upon another layer: directories that are the same as below are not packed, so the copy may lack
/// them. What the two make of the layer below is compared instead.
TEST_P(RandomLayer, DoesTheSameToTheLayerBelow) {
  fs::path const lower = scratch_.make("lower");
  fill(lower, {}, 3);
  files_.clear();
  fs::path const upper = scratch_.make("upper");
  fill(upper, lower, 3);
  std::string const tar = tar_of(upper, {lower});
  fs::path const copy = scratch_.make("copy");
  complete_layer(copy, {lower}, test::unpack(tar, copy));

  LayerStack expected({lower, upper});
  LayerStack actual({lower, copy});
  std::vector<std::string> todo{""};
  while (!todo.empty()) {
    std::string const directory = todo.back();
    todo.pop_back();
    ASSERT_EQ(expected.names(directory), actual.names(directory)) << "in /" << directory;
    for (const std::string& entry : expected.names(directory)) {
      std::string const path = directory.empty() ? entry : directory + "/" + entry;
      auto const a = expected.find(path);
      auto const b = actual.find(path);
      ASSERT_TRUE(a && b) << path;
      EXPECT_EQ(a->status.st_mode, b->status.st_mode) << path;
      EXPECT_EQ(a->status.st_uid, b->status.st_uid) << path;
      EXPECT_EQ(a->status.st_gid, b->status.st_gid) << path;
      EXPECT_EQ(a->status.st_rdev, b->status.st_rdev) << path;
      if (S_ISDIR(a->status.st_mode)) {
        todo.push_back(path);
      } else {
        EXPECT_EQ(a->status.st_size, b->status.st_size) << path;
        EXPECT_EQ(a->status.st_mtim.tv_sec, b->status.st_mtim.tv_sec) << path;
      }
    }
  }
  EXPECT_TRUE(tar_of(copy, {lower}) == tar) << "packs the same again";
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomLayer, testing::Range(1U, 41U));

}  // namespace
}  // namespace cobuild::oci
