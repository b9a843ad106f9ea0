#include "core/store/tree_checksum.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <functional>

#include "core/async/context.hpp"
#include "core/store/store_impl.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::store {
namespace {

using test::StoreProcess;
using test::StoreTest;
using test::write_text;
namespace fs = std::filesystem;

constexpr std::time_t kSomeTime = 1'600'000'000;

void set_time(const fs::path& path, std::time_t seconds, long nanoseconds = 0) {
  timespec const times[2] = {{seconds, nanoseconds}, {seconds, nanoseconds}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0) << path;
}

/// The same for everything, so that no damage is found only by its time.
void set_times(const fs::path& tree) {
  for (const auto& entry : fs::recursive_directory_iterator(tree)) {
    set_time(entry.path(), kSomeTime);
  }
  set_time(tree, kSomeTime);
}

void make_tree(const fs::path& tree) {
  fs::create_directories(tree / "usr" / "empty");
  write_text(tree / "usr" / "small", "hello");
  write_text(tree / "usr" / "nothing", "");
  for (int i = 0; i < 200; ++i)
    write_text(tree / ("file" + std::to_string(i)), std::string(i, 'x'));
  // Larger than a piece of work, with a tail that is not zero.
  write_text(tree / "large", "head");
  fs::resize_file(tree / "large", 20'000'000);
  std::ofstream(tree / "large", std::ios::app) << "tail";
  fs::create_hard_link(tree / "large", tree / "usr" / "large-too");
  fs::create_hard_link(tree / "usr" / "small", tree / "small-too");
  fs::create_symlink("usr/small", tree / "link");
  ASSERT_EQ(::mkfifo((tree / "fifo").c_str(), 0644), 0);
  set_times(tree);
}

class TreeChecksumTest : public StoreTest {
 protected:
  std::optional<std::string> checksum(const fs::path& of) {
    return process.run(tree_checksum(process.store().impl().pool, of));
  }

  StoreProcess process{root};
  fs::path tree = directory.path() / "tree";
};

TEST_F(TreeChecksumTest, EqualTreesHaveEqualChecksums) {
  make_tree(tree);
  make_tree(directory.path() / "other");
  auto const sum = checksum(tree);
  ASSERT_TRUE(sum.has_value());
  EXPECT_EQ(checksum(tree), sum);
  EXPECT_EQ(checksum(directory.path() / "other"), sum);
}

TEST_F(TreeChecksumTest, AnEmptyTreeHasOne) {
  fs::create_directory(tree);
  EXPECT_TRUE(checksum(tree).has_value());
}

TEST_F(TreeChecksumTest, EachDamageIsFound) {
  struct Damage {
    const char* what;
    std::function<void(const fs::path&)> make;
  };
  auto const overwrite = [](const fs::path& path, std::int64_t offset, const std::string& bytes) {
    UniqueFd const file = open_file(path, O_WRONLY);
    ASSERT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), offset),
              static_cast<ssize_t>(bytes.size()));
  };
  std::vector<Damage> const damages = {
      {"a file that was cut", [](const fs::path& t) { fs::resize_file(t / "file150", 100); }},
      {"an empty file", [](const fs::path& t) { fs::resize_file(t / "usr" / "small", 0); }},
      {"a longer file", [](const fs::path& t) { fs::resize_file(t / "usr" / "small", 6); }},
      {"zeros", [&](const fs::path& t) { overwrite(t / "file150", 0, std::string(150, '\0')); }},
      {"zeros at the end", [&](const fs::path& t) { overwrite(t / "file150", 149, {'\0'}); }},
      {"zeros in a large file",
       [&](const fs::path& t) { overwrite(t / "large", 20'000'000, std::string(4, '\0')); }},
      {"a large file that was cut", [](const fs::path& t) { fs::resize_file(t / "large", 999); }},
      {"a missing file", [](const fs::path& t) { fs::remove(t / "file0"); }},
      {"a missing name", [](const fs::path& t) { fs::remove(t / "small-too"); }},
      {"a missing directory", [](const fs::path& t) { fs::remove(t / "usr" / "empty"); }},
      {"a missing link", [](const fs::path& t) { fs::remove(t / "link"); }},
      {"one file more", [](const fs::path& t) { write_text(t / "usr" / "more", ""); }},
      {"another mode", [](const fs::path& t) { fs::permissions(t / "file1", fs::perms(0600)); }},
      {"another mode of a directory",
       [](const fs::path& t) { fs::permissions(t / "usr", fs::perms(0700)); }},
      {"another mode of the root", [](const fs::path& t) { fs::permissions(t, fs::perms(0700)); }},
      {"another name", [](const fs::path& t) { fs::rename(t / "file1", t / "file1a"); }},
      {"another place", [](const fs::path& t) { fs::rename(t / "file1", t / "usr" / "file1"); }},
      {"contents exchanged",
       [](const fs::path& t) {
         fs::remove(t / "file1");
         fs::remove(t / "file2");
         write_text(t / "file1", "xx");
         write_text(t / "file2", "x");
       }},
      {"another target",
       [](const fs::path& t) {
         fs::remove(t / "link");
         fs::create_symlink("usr/smalL", t / "link");
       }},
      {"another kind",
       [](const fs::path& t) {
         fs::remove(t / "fifo");
         write_text(t / "fifo", "");
       }},
  };
  make_tree(tree);
  auto const whole = checksum(tree);
  ASSERT_TRUE(whole.has_value());
  for (const Damage& damage : damages) {
    fs::path const damaged = directory.path() / "damaged";
    make_tree(damaged);
    ASSERT_EQ(checksum(damaged), whole);
    damage.make(damaged);
    set_times(damaged);
    EXPECT_NE(checksum(damaged), whole) << damage.what;
    fs::remove_all(damaged);
  }
}

TEST_F(TreeChecksumTest, ATimeThatWasLostIsFoundButNotAFractionOfIt) {
  make_tree(tree);
  auto const whole = checksum(tree);
  set_time(tree / "file1", kSomeTime, 999'999'999);
  EXPECT_EQ(checksum(tree), whole) << "tar keeps whole seconds";
  set_time(tree / "file1", kSomeTime + 1);
  EXPECT_NE(checksum(tree), whole);
}

TEST_F(TreeChecksumTest, AttributesThatALayerIsMadeOfCount) {
  make_tree(tree);
  auto const whole = checksum(tree);
  auto const usr = tree / "usr";
  if (::setxattr(usr.c_str(), "user.overlay.origin", "x", 1, 0) != 0) {
    GTEST_SKIP() << "no user attributes in " << tree;
  }
  EXPECT_EQ(checksum(tree), whole) << "overlay's own, different in each copy";
  ASSERT_EQ(::setxattr(usr.c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  auto const opaque = checksum(tree);
  EXPECT_NE(opaque, whole);
  ASSERT_EQ(::setxattr(usr.c_str(), "user.color", "red", 3, 0), 0);
  EXPECT_NE(checksum(tree), opaque);
}

TEST_F(TreeChecksumTest, AWhiteoutCounts) {
  make_tree(tree);
  auto const whole = checksum(tree);
  if (::mknod((tree / "gone").c_str(), S_IFCHR | 0600, 0) != 0) {
    GTEST_SKIP() << "may not make devices";
  }
  set_times(tree);
  auto const white = checksum(tree);
  EXPECT_NE(white, whole);
  fs::remove(tree / "gone");
  write_text(tree / "gone", "");
  fs::permissions(tree / "gone", fs::perms(0600));
  set_times(tree);
  EXPECT_NE(checksum(tree), white);
}

TEST_F(TreeChecksumTest, WhatCannotBeReadHasNone) {
  EXPECT_EQ(checksum(tree), std::nullopt) << "nothing is there";
  write_text(tree, "a file");
  EXPECT_EQ(checksum(tree), std::nullopt);
}

TEST_F(TreeChecksumTest, ManyDirectoriesNeedFewDescriptors) {
  for (int i = 0; i < 400; ++i) {
    fs::create_directories(tree / std::to_string(i % 2) / std::to_string(i));
  }
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit const few{128, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  auto const sum = checksum(tree);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(sum.has_value());
}

TEST_F(TreeChecksumTest, CancellingEndsIt) {
  make_tree(tree);
  asio::cancellation_signal cancel;
  std::optional<std::exception_ptr> outcome;
  auto finished = [&](std::exception_ptr error, std::optional<std::string>) { outcome = error; };
  asio::co_spawn(process.loop(), tree_checksum(process.store().impl().pool, tree),
                 asio::bind_cancellation_slot(cancel.slot(), finished));
  process.loop().restart();
  process.loop().run_one();
  cancel.emit(asio::cancellation_type::all);
  process.loop().run();
  ASSERT_TRUE(outcome.has_value());
  // It may have been done before it heard of it.
  if (*outcome) {
    EXPECT_TRUE(is_cancellation(*outcome));
  }
}

}  // namespace
}  // namespace cobuild::store
