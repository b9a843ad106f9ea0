#include "ops/exec/runtime_spec.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "ops/exec/seccomp_profile.hpp"

namespace cobuild::ops {
namespace {

namespace json = boost::json;
using ::testing::Contains;
using ::testing::Not;

/// Indented, so that a change of a golden file can be read; short values stay on one line.
std::string pretty(const json::value& value, const std::string& indent = "") {
  constexpr std::size_t kLineMax = 90;
  std::string const line = json::serialize(value);
  if (line.size() + indent.size() <= kLineMax || value.is_primitive()) return line;
  std::string const inner = indent + "  ";
  std::string text;
  if (const json::object* object = value.if_object()) {
    for (const auto& [key, member] : *object) {
      text +=
          (text.empty() ? "" : ",\n") + inner + json::serialize(key) + ": " + pretty(member, inner);
    }
    return "{\n" + text + "\n" + indent + "}";
  }
  for (const json::value& member : value.get_array()) {
    text += (text.empty() ? "" : ",\n") + inner + pretty(member, inner);
  }
  return "[\n" + text + "\n" + indent + "]";
}

/// Compares with tests/ops_exec/golden/`name`; COBUILD_UPDATE_GOLDEN=1 rewrites it and skips.
void expect_golden(const std::string& name, const json::value& value) {
  std::filesystem::path const path = std::filesystem::path(COBUILD_TEST_DIR) / "golden" / name;
  std::string const text = pretty(value) + "\n";
  if (std::getenv("COBUILD_UPDATE_GOLDEN") != nullptr) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    GTEST_SKIP() << "golden file rewritten: nothing was tested";
  }
  std::ifstream file(path);
  std::string const golden{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, golden);
}

ContainerSpec plain_step() {
  ContainerSpec spec;
  spec.rootfs = "/store/mounts/1";
  spec.args = {"/bin/sh", "-c", "make"};
  spec.env = {"PATH=/usr/bin:/bin"};
  spec.cwd = "/src";
  return spec;
}

SpecEnvironment machine() {
  SpecEnvironment environment;
  environment.id = "id0";
  environment.hosts_path = "/run/hosts";
  environment.resolv_conf_path = "/run/resolv.conf";
  return environment;
}

/// The profile has a golden file of its own.
json::object without_seccomp(json::object spec) {
  spec["linux"].as_object().erase("seccomp");
  return spec;
}

std::vector<std::string> namespaces(const json::object& spec) {
  std::vector<std::string> types;
  for (const json::value& item : spec.at("linux").at("namespaces").as_array()) {
    types.emplace_back(item.at("type").as_string());
  }
  return types;
}

const json::object* mount_at(const json::object& spec, std::string_view destination) {
  for (const json::value& mount : spec.at("mounts").as_array()) {
    if (mount.at("destination").as_string() == destination) return &mount.as_object();
  }
  return nullptr;
}

std::vector<std::string> options_of(const json::object& mount) {
  std::vector<std::string> options;
  for (const json::value& option : mount.at("options").as_array()) {
    options.emplace_back(option.as_string());
  }
  return options;
}

TEST(RuntimeSpec, PlainStepOfRoot) {
  expect_golden("plain.json", without_seccomp(runtime_spec(plain_step(), machine())));
}

TEST(RuntimeSpec, EverythingAsked) {
  ContainerSpec spec = plain_step();
  spec.user = {.uid = 33, .gid = 34, .additional_gids = {4, 27}};
  spec.hostname = "build-host";
  spec.read_only_rootfs = true;
  spec.network = NetworkMode::kNone;
  spec.ulimits = {{"nofile", 1024, 2048}, {"core", -1, -1}};
  spec.cgroup_parent = "ci/jobs";
  spec.resources = {.memory_bytes = 1 << 30,
                    .memory_swap_bytes = -1,
                    .cpu_shares = 512,
                    .cpu_period_us = 100000,
                    .cpu_quota_us = 50000,
                    .cpuset_cpus = "0-1",
                    .cpuset_mems = "0"};
  ContainerMount cache;
  cache.source = "/store/caches/1";
  cache.destination = "/root/.cache";
  ContainerMount source;
  source.source = "/store/mounts/2/src";
  source.destination = "/src";
  source.read_only = true;
  ContainerMount memory;
  memory.kind = ContainerMount::Kind::kTmpfs;
  memory.destination = "/tmp";
  memory.size_bytes = 4096;
  spec.mounts = {cache, source, memory};
  SpecEnvironment environment = machine();
  environment.cgroup_namespace = true;
  expect_golden("everything.json", without_seccomp(runtime_spec(spec, environment)));
}

TEST(RuntimeSpec, Rootless) {
  SpecEnvironment environment = machine();
  environment.rootless = true;
  ContainerSpec spec = plain_step();
  spec.resources.memory_bytes = 1 << 20;
  expect_golden("rootless.json", without_seccomp(runtime_spec(spec, environment)));
}

TEST(RuntimeSpec, InsecureStepOfRoot) {
  SpecEnvironment environment = machine();
  environment.own_capabilities = {"CAP_CHOWN", "CAP_SYS_ADMIN"};
  environment.loop_devices = 2;
  ContainerSpec spec = plain_step();
  spec.security = SecurityMode::kInsecure;
  expect_golden("insecure.json", runtime_spec(spec, environment));
}

TEST(RuntimeSpec, SeccompProfile) {
  json::object const spec = runtime_spec(plain_step(), machine());
  expect_golden("seccomp.json", spec.at("linux").at("seccomp"));
}

TEST(SeccompProfile, CapabilitiesOpenTheirCalls) {
  std::string const without = json::serialize(seccomp_profile({}));
  std::string const with = json::serialize(seccomp_profile({"CAP_SYS_ADMIN"}));
  EXPECT_EQ(without.find("\"mount\""), std::string::npos);
  EXPECT_NE(with.find("\"mount\""), std::string::npos);
  EXPECT_NE(without.find("\"clone3\"],\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38"),
            std::string::npos);
  EXPECT_EQ(with.find("SCMP_CMP_MASKED_EQ"), std::string::npos);
}

TEST(RuntimeSpec, NamespacesFollowNetworkAndMachine) {
  ContainerSpec spec = plain_step();
  SpecEnvironment environment = machine();
  for (NetworkMode mode : {NetworkMode::kDefault, NetworkMode::kHost}) {
    spec.network = mode;
    EXPECT_THAT(namespaces(runtime_spec(spec, environment)), Not(Contains("network")));
  }
  spec.network = NetworkMode::kNone;
  EXPECT_THAT(namespaces(runtime_spec(spec, environment)), Contains("network"));
  EXPECT_THAT(namespaces(runtime_spec(spec, environment)), Not(Contains("cgroup")));
  environment.cgroup_namespace = true;
  EXPECT_THAT(namespaces(runtime_spec(spec, environment)), Contains("cgroup"));
}

TEST(RuntimeSpec, OfOneDestinationTheLastMountWins) {
  ContainerSpec spec = plain_step();
  ContainerMount shm;
  shm.kind = ContainerMount::Kind::kTmpfs;
  shm.destination = "/dev/shm";
  shm.size_bytes = 123;
  spec.mounts = {shm};
  json::object const result = runtime_spec(spec, machine());
  EXPECT_THAT(options_of(*mount_at(result, "/dev/shm")), Contains("size=123"));
  EXPECT_EQ(result.at("mounts").as_array().size(),
            runtime_spec(plain_step(), machine()).at("mounts").as_array().size());
}

TEST(RuntimeSpec, BindsInAUserNamespaceKeepLockedFlags) {
  ContainerSpec spec = plain_step();
  ContainerMount bind;
  bind.source = "/locked";
  bind.destination = "/mnt";
  spec.mounts = {bind};
  SpecEnvironment environment = machine();
  environment.locked_mount_flags = [](const std::string& path) {
    return path == "/locked" ? std::vector<std::string>{"nosuid", "nodev"}
                             : std::vector<std::string>{};
  };
  EXPECT_THAT(options_of(*mount_at(runtime_spec(spec, environment), "/mnt")),
              Not(Contains("nosuid")));
  environment.rootless = true;
  EXPECT_THAT(options_of(*mount_at(runtime_spec(spec, environment), "/mnt")), Contains("nosuid"));
}

TEST(RuntimeSpec, WithoutAProcOfItsOwnTheMachinesIsBound) {
  SpecEnvironment environment = machine();
  environment.proc_mountable = false;
  json::object const spec = runtime_spec(plain_step(), environment);
  EXPECT_EQ(mount_at(spec, "/proc")->at("type").as_string(), "bind");
  EXPECT_THAT(namespaces(spec), Not(Contains("pid")));
  for (const char* list : {"maskedPaths", "readonlyPaths"}) {
    for (const json::value& path : spec.at("linux").at(list).as_array()) {
      EXPECT_FALSE(path.as_string().starts_with("/proc")) << path;
    }
  }
}

struct CgroupCase {
  const char* parent;
  const char* default_parent;
  const char* path;
};

TEST(RuntimeSpec, CgroupPaths) {
  constexpr CgroupCase kCases[] = {
      {"", "", "/buildkit/id0"},
      {"ci", "", "/ci/buildkit/id0"},
      {"/ci/x/", "", "/ci/x/buildkit/id0"},
      {"", "from-config", "/from-config/buildkit/id0"},
      {"system.slice:docker:", "", "system.slice:docker:id0"},
      {"system.slice", "", "/system.slice/buildkit/id0"},
      {"ci", "from-config", "/ci/buildkit/id0"},
  };
  for (const CgroupCase& row : kCases) {
    ContainerSpec spec = plain_step();
    spec.cgroup_parent = row.parent;
    SpecEnvironment environment = machine();
    environment.default_cgroup_parent = row.default_parent;
    json::object const result = runtime_spec(spec, environment);
    EXPECT_EQ(result.at("linux").at("cgroupsPath").as_string(), row.path) << row.parent;
  }
}

TEST(CapabilityNames, BitsHaveNames) {
  EXPECT_THAT(capability_names(0), ::testing::IsEmpty());
  EXPECT_THAT(capability_names(1U << 21 | 1U),
              ::testing::ElementsAre("CAP_CHOWN", "CAP_SYS_ADMIN"));
  EXPECT_EQ(capability_names(~0ULL).size(), 41U);
}

}  // namespace
}  // namespace cobuild::ops
