// RUN --device: files that describe devices, which of them is meant and allowed, and what a
// container gets (F1.6.22, F7.5.4).

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "ops/exec/cdi_devices.hpp"
#include "ops/exec/runtime_spec.hpp"
#include "ops/exec/yaml.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// ---- YAML

std::string as_json(std::string_view yaml) {
  return json::serialize(parse_yaml(yaml));
}

TEST(Yaml, IsTheJsonItStandsFor) {
  EXPECT_EQ(as_json("a: 1\nb: [x, 'y', \"z\\n\"]\nc:\n  - d: true\n    e: ~\n  - {}\n"),
            R"({"a":1,"b":["x","y","z\n"],"c":[{"d":true,"e":null},{}]})");
  EXPECT_EQ(as_json("- 0644\n- 0x1f\n- -5\n- 1.5\n- '7'\n- \n- 08\n- --1\n"),
            R"([420,31,-5,"1.5","7",null,"08","--1"])");
  EXPECT_EQ(as_json("{\"a\": [1, \"b\", null]}"), R"({"a":[1,"b",null]})");
  EXPECT_EQ(as_json("a: |\n  x\n  y\n"), R"({"a":"x\ny\n"})");
  EXPECT_EQ(as_json(""), "null");
  EXPECT_EQ(as_json("1: x\ntrue: y\n"), R"({"1":"x","true":"y"})");
}

TEST(Yaml, SaysWhereItIsBad) {
  EXPECT_THAT(error_of([] { (void)parse_yaml("a: 1\nb: [\n"); }), HasSubstr("line 3"));
  EXPECT_THAT(error_of([] { (void)parse_yaml("a: &x 1\nb: *x\n"); }),
              HasSubstr("line 2: anchors are not supported"));
  EXPECT_THAT(error_of([] { (void)parse_yaml("a: 1\n---\nb: 2\n"); }),
              HasSubstr("more than one document"));
  EXPECT_THAT(error_of([] { (void)parse_yaml("? [a]\n: b\n"); }),
              HasSubstr("a key that is no text"));
  EXPECT_THAT(error_of([] { (void)parse_yaml(std::string(kYamlDepth_max + 1, '[')); }),
              HasSubstr("nested too deeply"));
}

// ---- files

constexpr const char* kGpu = R"(
cdiVersion: "0.6.0"
kind: vendor.com/gpu
annotations: {org.mobyproject.buildkit.device.class: compute}
containerEdits:
  env: [SHARED=1]
devices:
  - name: "0"
    containerEdits:
      env: [GPU=0]
      deviceNodes:
        - {path: /dev/gpu0, hostPath: /dev/null, permissions: rw, fileMode: 0640}
      mounts:
        - {hostPath: /opt/driver, containerPath: /driver, options: [ro, nosuid, bind]}
      hooks:
        - {hookName: createContainer, path: /bin/hook, args: [hook, x], timeout: 3}
      additionalGids: [0, 44]
  - name: "1"
    annotations: {org.mobyproject.buildkit.device.autoallow: "true"}
    containerEdits: {env: [GPU=1]}
)";

TEST(CdiSpec, IsReadOfYamlAndJson) {
  CdiSpec const spec = parse_cdi_spec(kGpu, CdiFormat::kYaml);
  ASSERT_EQ(spec.devices.size(), 2U);
  EXPECT_EQ(spec.devices[0].name, "vendor.com/gpu=0");
  EXPECT_THAT(spec.edits.env, ElementsAre("SHARED=1"));
  const CdiEdits& edits = spec.devices[0].edits;
  ASSERT_EQ(edits.nodes.size(), 1U);
  EXPECT_EQ(edits.nodes[0].source, "/dev/null");
  EXPECT_EQ(edits.nodes[0].mode, 0640U);
  ASSERT_EQ(edits.mounts.size(), 1U);
  EXPECT_TRUE(edits.mounts[0].read_only);
  EXPECT_THAT(edits.mounts[0].options, ElementsAre("nosuid"));
  EXPECT_THAT(edits.additional_gids, ElementsAre(44U));
  EXPECT_EQ(edits.hooks.at(0).timeout_s, 3);
  EXPECT_EQ(spec.devices[1].annotations.size(), 2U);
  auto const same = parse_cdi_spec(
      R"({"cdiVersion":"0.6.0","kind":"v/c","devices":[{"name":"d","containerEdits":{"env":["A=b"]}}]})",
      CdiFormat::kJson);
  EXPECT_EQ(same.devices.at(0).name, "v/c=d");
}

TEST(CdiSpec, BadOnesAreRefused) {
  struct Row {
    const char* text;
    const char* message;
  };
  for (const Row& row :
       {Row{"[]", "the file is no mapping"}, Row{"kind: v/c", "cdiVersion is missing"},
        Row{"cdiVersion: '1'\nkind: v", "invalid kind"},
        Row{"cdiVersion: '1'\nkind: v/c", "it has no devices"},
        Row{"cdiVersion: '1'\nkind: v/c\ndevices: [{name: '-x'}]", "invalid device name"},
        Row{"cdiVersion: '1'\nkind: v/c\ndevices: 1", "devices is no list"},
        Row{"cdiVersion: '1'\nkind: v/c\ndevices: [{name: x, containerEdits: {env: [A]}}]",
            "invalid environment variable"},
        Row{"cdiVersion: '1'\nkind: v/c\ndevices: [{name: x, containerEdits: {deviceNodes: [{path: "
            "x}]}}]",
            "device path"},
        Row{"cdiVersion: '1'\nkind: v/c\ndevices: [{name: x, containerEdits: {deviceNodes: [{path: "
            "/x, type: q}]}}]",
            "invalid type"},
        Row{"cdiVersion: '1'\nkind: v/c\ndevices: [{name: x, containerEdits: {hooks: [{hookName: "
            "never, path: /x}]}}]",
            "invalid hook name"},
        Row{"cdiVersion: '1'\nkind: v/c\ndevices: [{name: x, containerEdits: {mounts: [{hostPath: "
            "/x}]}}]",
            "invalid mount"},
        Row{"cdiVersion: '1'\nkind: v/c\ndevices: [{name: x, containerEdits: {additionalGids: "
            "[-1]}}]",
            "additionalGids"},
        Row{"cdiVersion: '1'\nkind: v/c\nannotations: {a: 1}\ndevices: [{name: x}]",
            "the annotation a is no text"}}) {
    EXPECT_THAT(error_of([&] { (void)parse_cdi_spec(row.text, CdiFormat::kYaml); }),
                HasSubstr(row.message))
        << row.text;
  }
  EXPECT_THAT(error_of([] { (void)parse_cdi_spec("{", CdiFormat::kJson); }), HasSubstr("no JSON"));
}

// ---- which ones, and for whom

class Devices : public testing::Test {
 protected:
  void put(const std::string& name, const std::string& text) const {
    fs::create_directories((directory.path() / name).parent_path());
    std::ofstream(directory.path() / name) << text;
  }
  void put_devices(const std::string& file, const std::string& kind,
                   const std::string& names) const {
    put(file, "cdiVersion: '1'\nkind: " + kind + "\ndevices: [" + names + "]\n");
  }
  [[nodiscard]] CdiDevices devices(const std::vector<std::string>& allow) const {
    return CdiDevices({directory.path() / "etc", directory.path() / "run"},
                      DeviceGrants::parse(allow));
  }
  std::vector<std::string> found(const std::string& name,
                                 const std::vector<std::string>& allow = {"device"}) const {
    return devices(allow).find({{name, true}});
  }
  std::string refusal(const std::vector<DeviceRequest>& requests,
                      const std::vector<std::string>& allow) const {
    return error_of([&] { (void)devices(allow).find(requests); });
  }

  TempDir directory = TempDir::create(fs::temp_directory_path(), "cobuild-cdi-");
};

TEST_F(Devices, AreMeantByNameKindWildcardAndClass) {
  put("etc/gpu.yaml", kGpu);
  put_devices("etc/b.yaml", "other.com/x", "{name: b}, {name: a}");
  EXPECT_THAT(found("vendor.com/gpu=1"), ElementsAre("vendor.com/gpu=1"));
  EXPECT_THAT(found("vendor.com/gpu"), ElementsAre("vendor.com/gpu=0"));
  EXPECT_THAT(found("vendor.com/gpu=*"), ElementsAre("vendor.com/gpu=0", "vendor.com/gpu=1"));
  EXPECT_THAT(found("compute"), ElementsAre("vendor.com/gpu=0", "vendor.com/gpu=1"));
  EXPECT_THAT(found("other.com/x"), ElementsAre("other.com/x=a"));
  EXPECT_THAT(found("other.com/y=a"), IsEmpty());
  EXPECT_THAT(devices({"device"}).find({{"compute", false}, {"vendor.com/gpu", false}}),
              ElementsAre("vendor.com/gpu=0", "vendor.com/gpu=1"));
}

TEST_F(Devices, ThatAreRequiredMustBeThere) {
  put("etc/bad.json", "{");
  std::string const what = refusal({{"v/c=x", false}}, {"device"});
  EXPECT_THAT(what, HasSubstr("required device \"v/c=x\" is not registered"));
  EXPECT_THAT(what, HasSubstr("bad.json: no JSON"));
  EXPECT_EQ(refusal({{"v/c=x", true}}, {}), "");
}

TEST_F(Devices, MustBeAllowed) {
  put("etc/gpu.yaml", kGpu);
  EXPECT_THAT(refusal({{"vendor.com/gpu=0", false}}, {}),
              HasSubstr("device vendor.com/gpu=0 is requested by the build but not allowed"));
  EXPECT_EQ(refusal({{"vendor.com/gpu=1", false}}, {}), "") << "it says that it is for everybody";
  EXPECT_EQ(refusal({{"vendor.com/gpu=0", false}}, {"device=vendor.com/gpu=0"}), "");
  EXPECT_EQ(refusal({{"compute", false}}, {"device=vendor.com/gpu=*"}), "");
  EXPECT_NE(refusal({{"vendor.com/gpu=0", false}}, {"device=vendor.com/gpu=1"}), "");
  EXPECT_NE(refusal({{"vendor.com/gpu=0", false}}, {"network.host"}), "");
  EXPECT_THAT(devices({"device=vendor.com/gpu=0,alias=mine"}).find({{"mine", false}}),
              ElementsAre("vendor.com/gpu=0"));
}

TEST_F(Devices, GrantsAreReadInBuildKitsWords) {
  EXPECT_TRUE(DeviceGrants::parse({"device"}).all);
  EXPECT_FALSE(DeviceGrants::parse({"device=a"}).all);
  EXPECT_EQ(error_of([] { (void)DeviceGrants::parse({"device=a,b"}); }),
            "invalid device config \"b\"");
  EXPECT_EQ(error_of([] { (void)DeviceGrants::parse({"device=a,b=c"}); }),
            "unknown device config key \"b\"");
}

TEST_F(Devices, OfLaterDirectoriesWinAndEqualOnesConflict) {
  put_devices("etc/a.yaml", "v/c", "{name: x, containerEdits: {env: [FROM=etc]}}, {name: y}");
  put_devices("run/a.yaml", "v/c", "{name: x, containerEdits: {env: [FROM=run]}}");
  ContainerSpec spec;
  devices({"device"}).inject({{"v/c=x", false}}, spec);
  EXPECT_THAT(spec.env, ElementsAre("FROM=run"));
  put_devices("etc/b.yaml", "v/c", "{name: y}");
  EXPECT_THAT(found("v/c=y"), IsEmpty());
  EXPECT_THAT(refusal({{"v/c=y", false}}, {"device"}), HasSubstr("conflicting device \"v/c=y\""));
}

// ---- what a container gets

TEST_F(Devices, AreGivenToTheContainer) {
  put("etc/gpu.yaml", kGpu);
  ContainerSpec spec;
  spec.args = {"x"};
  spec.env = {"GPU=old", "A=b"};
  spec.user.uid = 7;
  devices({"device"}).inject({{"vendor.com/gpu=0", false}}, spec);
  EXPECT_THAT(spec.env, ElementsAre("A=b", "SHARED=1", "GPU=0"));
  EXPECT_THAT(spec.user.additional_gids, Contains(44U));
  ASSERT_EQ(spec.devices.size(), 1U);
  EXPECT_EQ(spec.devices[0].type, 'c');
  EXPECT_EQ(spec.devices[0].major, 1);
  EXPECT_EQ(spec.devices[0].minor, 3);
  EXPECT_EQ(spec.devices[0].uid, 7U);
  SpecEnvironment environment;
  json::object const made = runtime_spec(spec, environment);
  std::string const text = json::serialize(made);
  EXPECT_THAT(
      text,
      HasSubstr(R"({"path":"/dev/gpu0","type":"c","major":1,"minor":3,"fileMode":416,"uid":7})"));
  EXPECT_THAT(text, HasSubstr(R"({"allow":true,"type":"c","major":1,"minor":3,"access":"rw"})"));
  EXPECT_THAT(
      text,
      HasSubstr(R"("createContainer":[{"path":"/bin/hook","args":["hook","x"],"timeout":3}])"));
  EXPECT_THAT(
      text,
      HasSubstr(
          R"({"destination":"/driver","type":"bind","source":"/opt/driver","options":["rbind","ro","nosuid"]})"));
}

TEST_F(Devices, ThatAreNotThereOrCannotBeGivenAreRefused) {
  put_devices("etc/a.yaml", "v/c",
              "{name: gone, containerEdits: {deviceNodes: [{path: /dev/no-such-device}]}},"
              "{name: file, containerEdits: {deviceNodes: [{path: /etc/passwd}]}},"
              "{name: other, containerEdits: {deviceNodes: [{path: /dev/null, type: b}]}},"
              "{name: net, containerEdits: {netDevices: [{hostInterfaceName: eth0, name: x}]}}");
  auto const inject = [this](const std::string& name) {
    ContainerSpec spec;
    return error_of([&] { devices({"device"}).inject({{name, false}}, spec); });
  };
  EXPECT_THAT(inject("v/c=gone"), HasSubstr("/dev/no-such-device"));
  EXPECT_THAT(inject("v/c=file"), HasSubstr("/etc/passwd is no device node"));
  EXPECT_THAT(inject("v/c=other"), HasSubstr("host type mismatch"));
  EXPECT_THAT(inject("v/c=net"), HasSubstr("netDevices, which is not supported"));
}

}  // namespace
}  // namespace cobuild::ops
