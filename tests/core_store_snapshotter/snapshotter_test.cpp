#include "core/store/snapshotter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <random>
#include <sstream>
#include <string>

#include "core/base/error.hpp"
#include "core/store/layered_directory.hpp"
#include "core/store/snapshotter_native.hpp"
#include "core/store/snapshotter_overlay.hpp"
#include "core/sys/mount_api.hpp"

namespace cobuild::store {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;

void write_text(const fs::path& path, const std::string& text) {
  std::ofstream(path) << text;
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A tree as text: what must be equal. Not the times of directories, which an edit may touch.
std::map<std::string, std::string> describe(const fs::path& root) {
  std::map<std::string, std::string> tree;
  for (const auto& item : fs::recursive_directory_iterator(root)) {
    struct stat status = {};
    EXPECT_EQ(::lstat(item.path().c_str(), &status), 0);
    std::ostringstream text;
    text << std::oct << status.st_mode << std::dec << ' ' << status.st_uid << ':' << status.st_gid;
    if (S_ISREG(status.st_mode)) {
      text << ' ' << status.st_nlink << ' ' << status.st_mtim.tv_sec << '.'
           << status.st_mtim.tv_nsec << ' ' << read_text(item.path());
    }
    if (S_ISLNK(status.st_mode)) text << " -> " << fs::read_symlink(item.path()).string();
    tree[item.path().lexically_relative(root).string()] = text.str();
  }
  return tree;
}

int mounts_below(const fs::path& directory) {
  std::ifstream mounts("/proc/self/mountinfo");
  int count = 0;
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(directory.string()) != std::string::npos) ++count;
  }
  return count;
}

/// A directory of the test, on a file system that takes overlays where /tmp does.
class SnapshotterTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const char* base = std::getenv("TMPDIR");
    root_.emplace(TempDir::create(base != nullptr ? base : "/tmp", "snapshotter-"));
    std::string const kind = GetParam();
    fs::path const mounts = root_->path() / "mounts";
    if (kind == "native") {
      native_ = std::make_shared<NativeSnapshotter>(ScratchDirectory::create_on_disk(mounts));
      return;
    }
    try {
      EXPECT_EQ(make_snapshotter(root_->path(), "overlayfs")->name(), "overlayfs");
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
    overlay_ = std::make_shared<OverlaySnapshotter>(ScratchDirectory::create(mounts));
  }
  void TearDown() override {
    if (IsSkipped()) return;
    native_.reset();
    overlay_.reset();
    EXPECT_EQ(mounts_below(root_->path()), 0);
    EXPECT_TRUE(fs::is_empty(root_->path() / "mounts")) << "a scratch directory was left";
  }

  fs::path new_layer() {
    fs::path path = root_->path() / ("layer" + std::to_string(next_++));
    fs::create_directories(path / "fs");
    fs::create_directories(path / "work");
    return path / "fs";
  }
  /// A layer with these files, content by path; a path that ends in "/" is a directory.
  fs::path layer(const std::map<std::string, std::string>& files) {
    fs::path const path = new_layer();
    for (const auto& [name, content] : files) {
      if (name.ends_with('/')) {
        fs::create_directories(path / name);
        continue;
      }
      fs::create_directories((path / name).parent_path());
      write_text(path / name, content);
    }
    return path;
  }
  std::unique_ptr<View> view(std::vector<fs::path> lowers) {
    Snapshotter& snapshotter = native_ ? static_cast<Snapshotter&>(*native_) : *overlay_;
    return snapshotter.view(std::move(lowers));
  }
  std::unique_ptr<View> edit(std::vector<fs::path> lowers, const fs::path& upper) {
    if (native_) return native_->edit(std::move(lowers), upper);
    return overlay_->edit(std::move(lowers), upper, upper.parent_path() / "work");
  }
  /// Edits, and checks the contract: the lowers with the new layer on top are what the edit left.
  fs::path check_edit(std::vector<fs::path> lowers,
                      const std::function<void(const fs::path&)>& change) {
    fs::path upper = new_layer();
    auto editing = edit(lowers, upper);
    change(editing->path());
    auto const expected = describe(editing->path());
    editing->close();
    lowers.push_back(upper);
    auto const after = view(lowers);
    EXPECT_EQ(describe(after->path()), expected);
    return upper;
  }

  std::optional<TempDir> root_;
  std::shared_ptr<NativeSnapshotter> native_;
  std::shared_ptr<OverlaySnapshotter> overlay_;
  int next_ = 0;
};

TEST_P(SnapshotterTest, NothingIsAnEmptyTree) {
  auto const empty = view({});
  EXPECT_TRUE(fs::is_empty(empty->path()));
}

TEST_P(SnapshotterTest, HigherLayersHideLowerOnes) {
  auto const low = layer({{"a", "low"}, {"b", "low"}, {"d/x", "low"}});
  auto const high = layer({{"b", "high"}, {"d/y", "high"}});
  auto const merged = view({low, high});
  EXPECT_EQ(read_text(merged->path() / "a"), "low");
  EXPECT_EQ(read_text(merged->path() / "b"), "high");
  EXPECT_EQ(read_text(merged->path() / "d/x"), "low");
  EXPECT_EQ(read_text(merged->path() / "d/y"), "high");
}

TEST_P(SnapshotterTest, WhiteoutsHideAlsoInALoneLayer) {
  auto const low = layer({{"a", "1"}, {"d/x", "1"}});
  auto const high = layer({{"b", "2"}});
  make_whiteout(high / "a");
  make_whiteout(high / "d");
  EXPECT_EQ(describe(view({low, high})->path()).size(), 1U);
  EXPECT_EQ(describe(view({high})->path()).size(), 1U);
}

TEST_P(SnapshotterTest, OpaqueDirectoriesEndTheStack) {
  auto const low = layer({{"d/x", "1"}, {"d/s/t", "1"}});
  auto const middle = layer({{"d/y", "2"}});
  ASSERT_EQ(::setxattr((middle / "d").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  auto const high = layer({{"d/z", "3"}});
  auto const tree = describe(view({low, middle, high})->path());
  EXPECT_TRUE(tree.contains("d/y"));
  EXPECT_TRUE(tree.contains("d/z"));
  EXPECT_FALSE(tree.contains("d/x"));
  EXPECT_FALSE(tree.contains("d/s"));
}

TEST_P(SnapshotterTest, ALayerMayBeThereTwice) {
  auto const base = layer({{"a", "base"}, {"d/x", "base"}});
  auto const other = layer({{"a", "other"}, {"d/y", "other"}});
  make_whiteout(other / "d/x");
  auto const merged = view({base, other, base});
  EXPECT_EQ(read_text(merged->path() / "a"), "base");
  EXPECT_EQ(read_text(merged->path() / "d/x"), "base");
  EXPECT_EQ(read_text(merged->path() / "d/y"), "other");
}

TEST_P(SnapshotterTest, AnEditWithoutChangesLeavesNothing) {
  auto const low = layer({{"a", "1"}, {"d/x", "1"}});
  auto const upper = check_edit({low}, [](const fs::path& root) { read_text(root / "d/x"); });
  EXPECT_TRUE(fs::is_empty(upper));
}

TEST_P(SnapshotterTest, AnEditOfNothingIsTheLayer) {
  auto const upper = check_edit({}, [](const fs::path& root) {
    fs::create_directories(root / "d");
    write_text(root / "d/f", "new");
  });
  EXPECT_EQ(read_text(upper / "d/f"), "new");
}

TEST_P(SnapshotterTest, OnlyWhatChangedIsInTheLayer) {
  auto const low = layer({{"keep", "1"}, {"change", "1"}, {"d/keep", "1"}, {"d/change", "1"}});
  auto const upper = check_edit({low}, [](const fs::path& root) {
    write_text(root / "d/change", "22");
    fs::permissions(root / "change", fs::perms::owner_all);
  });
  auto const tree = describe(upper);
  EXPECT_EQ(tree.size(), 3U);
  EXPECT_TRUE(tree.contains("d/change"));
  EXPECT_TRUE(tree.contains("change"));
}

TEST_P(SnapshotterTest, DeletionsBecomeWhiteouts) {
  auto const low = layer({{"a", "1"}, {"d/x", "1"}, {"e/f/g", "1"}});
  auto const upper = check_edit({low}, [](const fs::path& root) {
    fs::remove(root / "a");
    fs::remove_all(root / "d");
    fs::remove(root / "e/f/g");
  });
  for (const char* name : {"a", "d", "e/f/g"}) {
    struct stat status = {};
    ASSERT_EQ(::lstat((upper / name).c_str(), &status), 0) << name;
    EXPECT_TRUE(is_whiteout(status)) << name;
  }
}

TEST_P(SnapshotterTest, KindsOfEntriesReplaceEachOther) {
  auto const low = layer({{"file", "1"}, {"dir/x", "1"}, {"again/x", "1"}, {"again/s/y", "1"}});
  check_edit({low}, [](const fs::path& root) {
    fs::remove(root / "file");
    fs::create_directory(root / "file");
    write_text(root / "file/in", "1");
    fs::remove_all(root / "dir");
    fs::create_symlink("file", root / "dir");
    fs::remove_all(root / "again");
    fs::create_directory(root / "again");
    write_text(root / "again/z", "1");
  });
}

TEST_P(SnapshotterTest, MetadataAndLinksAreKept) {
  auto const low = layer({{"a", "1"}, {"d/x", "1"}});
  check_edit({low}, [](const fs::path& root) {
    fs::permissions(root / "d", fs::perms::owner_all);
    write_text(root / "one", "linked");
    fs::create_hard_link(root / "one", root / "d/two");
    fs::permissions(root / "a", fs::perms::set_uid, fs::perm_options::add);
    EXPECT_EQ(::mkfifo((root / "pipe").c_str(), 0640), 0);
    if (::geteuid() == 0) {
      EXPECT_EQ(::chown((root / "d/x").c_str(), 7, 8), 0);
      EXPECT_EQ(::lchown((root / "d").c_str(), 9, 10), 0);
    }
  });
}

TEST_P(SnapshotterTest, RenamedDirectoriesKeepTheirFiles) {
  auto const low = layer({{"d/x", "1"}, {"d/s/y", "1"}});
  check_edit({low}, [](const fs::path& root) {
    // overlayfs without redirect_dir says EXDEV, upon which mv copies
    std::error_code error;
    fs::rename(root / "d", root / "e", error);
    if (error) {
      fs::copy(root / "d", root / "e", fs::copy_options::recursive);
      fs::remove_all(root / "d");
    }
  });
}

TEST_P(SnapshotterTest, NamesMayHoldAnything) {
  fs::path const odd = root_->path() / "a,b:c d\\e=f";
  fs::create_directories(odd / "fs");
  write_text(odd / "fs/x:y,z", "1");
  check_edit({odd / "fs", layer({{"b", "1"}})},
             [](const fs::path& root) { write_text(root / "x:y,z", "2"); });
}

TEST_P(SnapshotterTest, TwoHundredLayers) {
  std::vector<fs::path> lowers;
  for (int i = 0; i < 200; ++i) {
    std::string const number = std::to_string(i);
    lowers.push_back(layer({{"top", number}, {"f" + number, number}}));
  }
  check_edit(lowers, [](const fs::path& root) {
    EXPECT_EQ(read_text(root / "top"), "199");
    EXPECT_EQ(read_text(root / "f0"), "0");
    fs::remove(root / "f100");
    write_text(root / "top", "edited");
  });
}

TEST_P(SnapshotterTest, MoreLayersThanOneOverlayTakes) {
  std::vector<fs::path> lowers{layer({{"gone", "1"}, {"first", "1"}})};
  for (int i = 0; i < 600; ++i) lowers.push_back(layer({{"top", std::to_string(i)}}));
  make_whiteout(lowers[550] / "gone");
  check_edit(lowers, [](const fs::path& root) {
    EXPECT_EQ(read_text(root / "top"), "599");
    EXPECT_TRUE(fs::exists(root / "first"));
    EXPECT_FALSE(fs::exists(root / "gone"));
    fs::remove(root / "first");
  });
}

TEST_P(SnapshotterTest, AViewThatIsDroppedLeavesNothing) {
  auto const low = layer({{"a", "1"}});
  auto const upper = new_layer();
  edit({low}, upper).reset();
  view({low, layer({{"b", "1"}})}).reset();
  EXPECT_EQ(mounts_below(root_->path() / "mounts"), overlay_ ? 1 : 0);  // its scratch directory
}

/// Any sequence of changes: the layer says exactly what became of the tree.
TEST_P(SnapshotterTest, RandomEdits) {
  std::random_device seed_source;
  unsigned const seed = seed_source();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  auto pick = [&](int count) { return static_cast<int>(random() % static_cast<unsigned>(count)); };
  auto some_path = [&] {
    std::string path = "n" + std::to_string(pick(4));
    for (int depth = pick(3); depth > 0; --depth) path += "/n" + std::to_string(pick(4));
    return path;
  };
  std::vector<fs::path> lowers;
  for (int round = 0; round < 12; ++round) {
    lowers.push_back(check_edit(lowers, [&](const fs::path& root) {
      for (int i = 0; i < 12; ++i) {
        fs::path const path = root / some_path();
        std::error_code ignored;
        switch (pick(5)) {
          case 0: fs::remove_all(path, ignored); break;
          case 1: fs::create_directories(path, ignored); break;
          case 2: fs::create_symlink("n1", path, ignored); break;
          case 3: fs::create_hard_link(root / some_path(), path, ignored); break;
          default:
            if (fs::is_directory(path.parent_path(), ignored) && !fs::exists(path, ignored) &&
                !fs::is_symlink(path, ignored)) {
              write_text(path, std::to_string(random()));
            }
        }
      }
    }));
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, SnapshotterTest, ::testing::Values("overlayfs", "native"),
                         [](const auto& param) { return std::string(param.param); });

/// The way of kernels that take all options in one page.
TEST(MountOverlay, TheOldCallTakesHundredsOfLongNames) {
  TempDir const root = TempDir::create("/tmp", "overlay-");
  OverlayOptions options;
  options.old_call = true;
  for (int i = 0; i < 300; ++i) {
    fs::path const lower = root.path() / (std::string(100, 'x') + ",:" + std::to_string(i));
    fs::create_directory(lower);
    write_text(lower / ("f" + std::to_string(i)), "1");
    options.lowers.push_back(lower);
  }
  options.upper = root.path() / "upper";
  options.work = root.path() / "work";
  for (const char* name : {"upper", "work", "target"}) fs::create_directory(root.path() / name);
  try {
    Mount mount = mount_overlay(options, root.path() / "target");
    EXPECT_EQ(describe(mount.target()).size(), 300U);
    write_text(mount.target() / "new", "1");
    mount.unmount();
    EXPECT_EQ(read_text(root.path() / "upper/new"), "1");
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
}

TEST(MakeSnapshotter, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(static_cast<void>(make_snapshotter("/tmp", "btrfs")), Error);
}

TEST(ScratchDirectory, RemovesWhatTheDeadLeftAndSparesTheLiving) {
  TempDir const parent = TempDir::create("/tmp", "scratch-");
  fs::create_directories(parent.path() / "dead/sub");
  ScratchDirectory const living = ScratchDirectory::create_on_disk(parent.path());
  EXPECT_FALSE(fs::exists(parent.path() / "dead"));
  ScratchDirectory const second = ScratchDirectory::create(parent.path());
  write_text(second.path() / "file", "1");
  ScratchDirectory const third = ScratchDirectory::create_on_disk(parent.path());
  EXPECT_TRUE(fs::exists(living.path()));
  EXPECT_TRUE(fs::exists(second.path() / "file"));
}

}  // namespace
}  // namespace cobuild::store
