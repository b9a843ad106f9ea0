#include "ops/exec/lent_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <boost/json/serialize.hpp>

#include <fstream>

#include "core/base/error.hpp"
#include "ops/exec/runtime_spec.hpp"
#include "ops/exec/ulimits.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

/// A place in memory on every Linux.
TempDir memory() { return TempDir::create("/dev/shm", "cobuild-lent-"); }

ContainerSpec with_secret(unsigned mode) {
  ContainerSpec spec;
  ContainerMount mount;
  mount.kind = ContainerMount::Kind::kSecret;
  mount.destination = "/run/secrets/s";
  mount.content = Secret("value");
  mount.owner = {.uid = ::getuid(), .gid = ::getgid(), .additional_gids = {}};
  mount.mode = mode;
  spec.mounts.push_back(std::move(mount));
  return spec;
}

TEST(LentFiles, SecretsBecomeFilesToBind) {
  TempDir const directory = memory();
  ContainerSpec spec = with_secret(0440);
  EXPECT_TRUE(make_lent_files(spec, directory.path()).empty());
  const ContainerMount& mount = spec.mounts[0];
  EXPECT_EQ(mount.kind, ContainerMount::Kind::kBind);
  EXPECT_TRUE(mount.content.empty());
  EXPECT_TRUE(mount.read_only);
  EXPECT_THAT(mount.options, testing::ElementsAre("nodev", "nosuid", "noexec"));
  struct stat status = {};
  ASSERT_EQ(::stat(mount.source.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0440U);
  std::ifstream in(mount.source);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "value");
}

TEST(LentFiles, ExecutableSecretsMayBeRun) {
  TempDir const directory = memory();
  ContainerSpec spec = with_secret(0500);
  static_cast<void>(make_lent_files(spec, directory.path()));
  EXPECT_THAT(spec.mounts[0].options, testing::ElementsAre("nodev", "nosuid"));
}

TEST(LentFiles, SecretsAreNeverOnADisk) {
  // /proc is no tmpfs anywhere, and nothing gets written there.
  for (ContainerSpec spec : {with_secret(0400), [] {
         ContainerSpec variables;
         variables.secret_env.emplace_back("NAME", Secret("value"));
         return variables;
       }()}) {
    try {
      static_cast<void>(make_lent_files(spec, "/proc"));
      ADD_FAILURE() << "a secret was written";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
      EXPECT_THAT(error.what(), HasSubstr("memory only"));
    }
  }
}

TEST(LentFiles, SocketsListenForWhoMayUseThem) {
  TempDir const directory = memory();
  fs::path const deep = directory.path() / std::string(120, 'd');  // Longer than a socket's name may be.
  fs::create_directory(deep);
  ContainerSpec spec;
  ContainerMount mount;
  mount.kind = ContainerMount::Kind::kSocket;
  mount.destination = "/agent";
  mount.serve = [](UniqueFd) -> Task<void> { co_return; };
  mount.owner = {.uid = ::getuid(), .gid = ::getgid(), .additional_gids = {}};
  mount.mode = 0666;
  spec.mounts.push_back(std::move(mount));
  auto const sockets = make_lent_files(spec, deep);
  ASSERT_EQ(sockets.size(), 1U);
  EXPECT_TRUE(sockets[0].serve);
  struct stat status = {};
  ASSERT_EQ(::stat(spec.mounts[0].source.c_str(), &status), 0);
  EXPECT_TRUE(S_ISSOCK(status.st_mode));
  EXPECT_EQ(status.st_mode & 07777, 0666U);
}

TEST(SecretVariables, AreInTheEnvironmentOnlyThere) {
  ContainerSpec spec;
  spec.env = {"A=b"};
  spec.secret_env.emplace_back("TOKEN", Secret("val\xff"));
  std::string const json = boost::json::serialize(runtime_spec(spec, {}));
  EXPECT_THAT(json, HasSubstr("[\"A=b\",\"TOKEN=val\xef\xbf\xbd\"]"));
}

TEST(Ulimits, AboveOurOwnAreRefusedWithWhatOursIs) {
  rlimit own = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &own), 0);
  check_ulimits({{"nofile", 1, static_cast<std::int64_t>(own.rlim_max)}, {"unknown", -1, -1}});
  if (own.rlim_max == RLIM_INFINITY) GTEST_SKIP() << "nothing is above infinity";
  try {
    check_ulimits({{"NOFILE", -1, -1}});
    ADD_FAILURE() << "it was allowed";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr(std::to_string(own.rlim_max)));
  }
}

}  // namespace
}  // namespace cobuild::ops
