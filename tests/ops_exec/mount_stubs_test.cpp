#include "ops/exec/mount_stubs.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;

class MountStubsTest : public ::testing::Test {
 protected:
  fs::path root() const { return directory_.path(); }
  ContainerSpec step(std::vector<std::string> destinations, bool recursive = true) const {
    ContainerSpec spec;
    spec.rootfs = root();
    spec.remove_mount_stubs_recursive = recursive;
    spec.user = {.uid = ::getuid(), .gid = ::getgid(), .additional_gids = {}};
    for (std::string& destination : destinations) {
      ContainerMount mount;
      mount.kind = ContainerMount::Kind::kTmpfs;
      mount.destination = std::move(destination);
      spec.mounts.push_back(mount);
    }
    return spec;
  }
  void touch(const fs::path& path, const std::string& text = "") const {
    fs::create_directories((root() / path).parent_path());
    std::ofstream(root() / path) << text;
  }

 private:
  TempDir directory_ = TempDir::create("/tmp", "stubs-");
};

TEST_F(MountStubsTest, PathsAreResolvedInsideTheRoot) {
  fs::create_directories(root() / "usr/lib");
  fs::create_symlink("/usr", root() / "abs");
  fs::create_symlink("../../../../usr/lib", root() / "out");
  fs::create_symlink("loop", root() / "loop");
  fs::create_symlink("usr/none/x", root() / "dangling");
  EXPECT_EQ(resolve_inside(root(), "/abs/lib"), root() / "usr/lib");
  EXPECT_EQ(resolve_inside(root(), "/out/a/../b"), root() / "usr/lib/b");
  EXPECT_EQ(resolve_inside(root(), "/../../x"), root() / "x");
  EXPECT_EQ(resolve_inside(root(), "/dangling"), root() / "usr/none/x");
  EXPECT_EQ(resolve_inside(root(), "/"), root());
  EXPECT_THROW(static_cast<void>(resolve_inside(root(), "/loop/x")), Error);
}

TEST_F(MountStubsTest, WhatTheRuntimeMadeIsRemoved) {
  fs::create_directories(root() / "etc");
  fs::create_symlink("../run/resolve/stub", root() / "etc/resolv.conf");
  MountStubs const stubs(step({"/cache/deep/er"}));
  touch("etc/hosts");
  touch("run/resolve/stub");
  fs::create_directories(root() / "cache/deep/er");
  stubs.remove();
  EXPECT_FALSE(fs::exists(root() / "etc/hosts"));
  EXPECT_FALSE(fs::exists(root() / "run"));
  EXPECT_FALSE(fs::exists(root() / "cache"));
  EXPECT_TRUE(fs::is_symlink(root() / "etc/resolv.conf"));
}

TEST_F(MountStubsTest, TmpfsHasTheModeOfWhatItCovers) {
  fs::create_directories(root() / "private");
  fs::permissions(root() / "private", fs::perms::owner_all);
  ContainerSpec spec = step({"/private", "/new", "/private/below", "/dev/shm"});
  set_tmpfs_modes(spec);
  EXPECT_EQ(spec.mounts[0].options, std::vector<std::string>{"mode=0700"});
  EXPECT_EQ(spec.mounts[1].options, std::vector<std::string>{"mode=1777"});
  EXPECT_TRUE(spec.mounts[2].options.empty()) << "it is on another mount";
  EXPECT_TRUE(spec.mounts[3].options.empty()) << "the runtime makes it";
}

TEST_F(MountStubsTest, ParentsStayUnlessAskedFor) {
  MountStubs const stubs(step({"/cache/deep/er"}, false));
  fs::create_directories(root() / "cache/deep/er");
  stubs.remove();
  EXPECT_FALSE(fs::exists(root() / "cache/deep/er"));
  EXPECT_TRUE(fs::exists(root() / "cache/deep"));
}

TEST_F(MountStubsTest, WhatWasThereOrWasFilledStays) {
  touch("etc/hosts");
  fs::create_directories(root() / "old");
  MountStubs const stubs(step({"/old", "/new"}));
  touch("etc/resolv.conf", "written by the step");
  touch("new/file", "kept");
  stubs.remove();
  EXPECT_TRUE(fs::exists(root() / "etc/hosts"));
  EXPECT_TRUE(fs::exists(root() / "etc/resolv.conf"));
  EXPECT_TRUE(fs::exists(root() / "old"));
  EXPECT_TRUE(fs::exists(root() / "new/file"));
}

TEST_F(MountStubsTest, TheParentKeepsItsTime) {
  fs::create_directories(root() / "etc");
  MountStubs const stubs(step({}));
  touch("etc/hosts");
  std::array<timespec, 2> const old{timespec{1000, 5}, timespec{1000, 7}};
  ASSERT_EQ(::utimensat(AT_FDCWD, (root() / "etc").c_str(), old.data(), 0), 0);
  stubs.remove();
  ASSERT_FALSE(fs::exists(root() / "etc/hosts"));
  struct stat status = {};
  ::stat((root() / "etc").c_str(), &status);
  EXPECT_EQ(status.st_mtim.tv_sec, 1000);
  EXPECT_EQ(status.st_mtim.tv_nsec, 7);
}

TEST_F(MountStubsTest, LinksThatTheStepPutInTheWayAreNotFollowed) {
  TempDir const outside = TempDir::create("/tmp", "outside-");
  std::ofstream(outside.path() / "hosts") << "";
  MountStubs const stubs(step({}));
  fs::create_symlink(outside.path(), root() / "etc");
  stubs.remove();
  EXPECT_TRUE(fs::exists(outside.path() / "hosts"));
}

TEST_F(MountStubsTest, MountPointsAndWorkingDirectoriesAreMadeAlike) {
  ContainerSpec spec = step({"/a/b", "/dev/shm"});
  spec.cwd = "/work/space";
  ::umask(0077);
  make_working_directory(spec);
  if (::geteuid() == 0) {
    make_mount_points(spec);
    EXPECT_FALSE(fs::exists(root() / "dev/shm")) << "is on the runtime's own /dev";
    for (const char* name : {"proc", "dev", "sys", "a", "a/b"}) {
      EXPECT_EQ(static_cast<int>(fs::status(root() / name).permissions()), 0755) << name;
    }
  }
  ::umask(0022);
  for (const char* name : {"work", "work/space"}) {
    EXPECT_EQ(static_cast<int>(fs::status(root() / name).permissions()), 0755) << name;
  }
}

}  // namespace
}  // namespace cobuild::ops
