/// RUN --mount and --device (F1.6.8 to F1.6.22): keys, defaults, BuildKit's messages.

#include "dockerfile/run_flags.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert.hpp"
#include "core/base/go_csv.hpp"

namespace cobuild::dockerfile {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string same(const std::string& word) { return word; }

RunMount mount(const std::string& text) { return parse_run_mount(text, same); }

std::string error_in(const std::string& text) {
  try {
    (void)mount(text);
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput);
    return error.what();
  }
}

TEST(RunMount, HasDefaultsOfItsType) {
  EXPECT_EQ(mount("target=/a").type, pb::BIND);
  EXPECT_TRUE(mount("target=/a").read_only);
  EXPECT_FALSE(mount("type=cache,target=/a").read_only);
  EXPECT_FALSE(mount("type=tmpfs,target=/a").read_only);
  EXPECT_TRUE(mount("type=tmpfs,target=/a,ro").read_only);
  EXPECT_FALSE(mount("target=/a,rw").read_only);
  EXPECT_FALSE(mount("target=/a,readonly=false").read_only);
  EXPECT_TRUE(mount("target=/a,readwrite=f").read_only);
  EXPECT_FALSE(mount("type=ssh").required);
}

TEST(RunMount, ReadsEveryKeyInAnyCase) {
  RunMount const cache =
      mount("TYPE=Cache,From=base,SRC=/s,Dst=/t,ID=i,sharing=LOCKED,mode=0750,uid=7,gid=8");
  EXPECT_EQ(cache.type, pb::CACHE);
  EXPECT_EQ(cache.from, "base");
  EXPECT_EQ(cache.source, "/s");
  EXPECT_EQ(cache.target, "/t");
  EXPECT_EQ(cache.id, "i");
  EXPECT_EQ(cache.sharing, pb::LOCKED);
  EXPECT_EQ(cache.mode, 0750U);
  EXPECT_EQ(cache.uid, 7U);
  EXPECT_EQ(cache.gid, 8U);
  EXPECT_EQ(mount("type=tmpfs,destination=/t,size=64m").size_bytes, 64 << 20);
  RunMount const secret = mount("type=secret,id=x,env=TOKEN,required=true");
  EXPECT_EQ(secret.env, "TOKEN");
  EXPECT_TRUE(secret.required);
  EXPECT_TRUE(mount("type=ssh,required").required);
  EXPECT_EQ(mount("\"source=a,b\",target=/c").source, "a,b");
}

TEST(RunMount, IsRefusedInBuildKitsWords) {
  struct Row {
    const char* text;
    const char* message;
  };
  for (const Row& row : {
           Row{"", "failed to parse csv mounts: EOF"},
           Row{"a\"b", "failed to parse csv mounts: parse error on line 1, column 2: bare \" in non-quoted field"},
           Row{"nonsense", "invalid field 'nonsense' must be a key=value pair"},
           Row{"targt=/x", "unexpected key 'targt' in 'targt=/x' (did you mean target?)"},
           Row{"something=/x", "unexpected key 'something' in 'something=/x'"},
           Row{"type=cahe", "unsupported mount type \"cahe\" (did you mean cache?)"},
           Row{"type=volume", "unsupported mount type \"volume\""},
           Row{"type=cache,sharing=lock", "unsupported sharing value \"lock\" (did you mean locked?)"},
           Row{"ro=maybe", "invalid value for ro: maybe"},
           Row{"readwrite=2", "invalid value for readwrite: 2"},
           Row{"required", "unexpected key 'required' for mount type 'bind'"},
           Row{"required,type=secret", "unexpected key 'required' for mount type 'bind'"},
           Row{"type=cache,required=true", "unexpected key 'required' for mount type 'cache'"},
           Row{"type=ssh,required=x", "invalid value for required: x"},
           Row{"size=1m", "unexpected key 'size' for mount type 'bind'"},
           Row{"type=tmpfs,size=big", "invalid value for size: big"},
           Row{"type=cache,mode=9", "invalid value 9 for mode"},
           Row{"type=cache,mode=", "invalid value  for mode"},
           Row{"type=cache,uid=-1", "invalid value -1 for uid"},
           Row{"type=cache,gid=4294967296", "invalid value 4294967296 for gid"},
           Row{"mode=0755", "mode not allowed for \"bind\" type mounts"},
           Row{"type=tmpfs,uid=1", "uid not allowed for \"tmpfs\" type mounts"},
           Row{"gid=1", "gid not allowed for \"bind\" type mounts"},
           Row{"type=secret,id=a,from=b", "secret mount should not have a from"},
           Row{"type=secret,id=a,sharing=shared", "secret mount should not define sharing"},
           Row{"type=secret", "invalid secret mount. one of source, target required"},
           Row{"type=secret,id=a,src=b", "both source and id can't be set"},
           Row{"type=tmpfs,sharing=shared", "invalid cache sharing set for tmpfs mount"},
       }) {
    EXPECT_EQ(error_in(row.text), row.message) << row.text;
  }
}

TEST(RunMount, FromIsKnownBeforeVariablesAre) {
  EXPECT_EQ(parse_mount_from("type=$T,FROM=base,target=x"), "base");
  EXPECT_EQ(parse_mount_from("target=x,ro"), "");
  EXPECT_EQ(parse_mount_from("from=a$"), "a$");
  EXPECT_THROW((void)parse_mount_from("from=$A"), Error);
  EXPECT_THAT(error_of("FROM scratch\nARG A=b\nRUN --mount=from=$A,target=/x y"),
              HasSubstr("'from' doesn't support variable expansion, define alias stage instead"));
}

TEST(RunMount, VariablesAreThoseOfItsLine) {
  pb::ExecOp const exec = last_exec(convert("FROM scratch\nARG T=cache\nENV D=/a\nENV D=/b\n"
                                            "RUN --mount=type=$T,target=${D}/c y\nENV D=/z\n"));
  EXPECT_EQ(exec.mounts(1).mounttype(), pb::CACHE);
  EXPECT_EQ(exec.mounts(1).dest(), "/b/c");
  EXPECT_EQ(exec.mounts(1).cacheopt().id(), "//b/c");
}

TEST(RunMount, TargetsAreInTheWorkingDirectory) {
  pb::ExecOp const exec = last_exec(
      convert("FROM scratch\nWORKDIR /w\nRUN --mount=type=cache,target=c --mount=type=tmpfs y\n"));
  EXPECT_EQ(exec.mounts(1).dest(), "/w");
  EXPECT_EQ(exec.mounts(2).dest(), "/w/c");
  EXPECT_EQ(exec.mounts(2).cacheopt().id(), "/c");
  EXPECT_EQ(error_of("FROM scratch\nRUN --mount=type=cache y"), "invalid mount target \"/\"");
  EXPECT_EQ(error_of("FROM scratch\nRUN --mount=target=/ y"), "invalid mount target \"/\"");
}

TEST(RunMount, StagesMustComeBefore) {
  EXPECT_EQ(error_of("FROM scratch\nRUN --mount=from=later,target=/x y\nFROM scratch AS later\nRUN z",
                     [] {
                       ConvertOptions options = test_options();
                       options.target = "0";
                       return options;
                     }()),
            "target stage \"0\" could not be found");
  EXPECT_EQ(error_of("FROM scratch AS a\nRUN --mount=from=later,target=/x y\nFROM scratch AS later\nRUN z\n"
                     "FROM a"),
            "cannot mount from stage \"later\" to \"/x\", stage needs to be defined before current command");
  EXPECT_THAT(error_of("FROM scratch AS a\nRUN --mount=from=a,target=/x y\n"),
              HasSubstr("circular dependency detected on stage: a"));
}

TEST(RunMount, OfAnImageAsksForIt) {
  std::string const text = "FROM scratch\nRUN --mount=from=Tools:1,source=/bin,target=/t y";
  std::string const known = "FROM scratch\nRUN --mount=from=tools:1,source=/bin,target=/t y";
  EXPECT_THAT(error_of(text), HasSubstr("failed to parse stage name"));
  auto const missing = list_base_images(parse(known, "Dockerfile"), test_options(), {});
  ASSERT_EQ(missing.size(), 1U);
  EXPECT_EQ(missing[0].key.reference, "docker.io/library/tools:1");
  ResolvedImages images;
  images.emplace(missing[0].key, image(""));
  pb::ExecOp const exec = last_exec(convert(known, test_options(), images));
  EXPECT_EQ(exec.mounts(1).selector(), "/bin");
  EXPECT_TRUE(exec.mounts(1).readonly());
}

TEST(RunMount, OfATriggerIsResolvedLikeOthers) {
  std::string const text =
      "FROM scratch AS tools\nRUN x\nFROM scratch AS base\nONBUILD RUN --mount=from=tools,target=/t y\nFROM base\n";
  EXPECT_EQ(last_exec(convert(text)).mounts(1).dest(), "/t");
}

TEST(RunMount, SecretsAreStarsInNames) {  // F1.6.7, F1.6.15
  Lowered const lowered =
      convert("FROM scratch\nENV T=x\nRUN --mount=type=secret,id=t,env=T --mount=type=secret,id=u echo $T\n");
  pb::ExecOp const exec = last_exec(lowered);
  ASSERT_EQ(exec.secretenv_size(), 1);
  EXPECT_EQ(exec.secretenv(0).name(), "T");
  EXPECT_TRUE(exec.secretenv(0).optional());
  ASSERT_EQ(exec.mounts_size(), 2);
  EXPECT_EQ(exec.mounts(1).dest(), "/run/secrets/u");
  EXPECT_EQ(exec.mounts(1).secretopt().mode(), 0400U);
  bool found = false;
  for (const auto& [digest, metadata] : lowered.definition.metadata()) {
    auto const name = metadata.description().find("llb.customname");
    found |= name != metadata.description().end() && name->second.ends_with("echo ****");
  }
  EXPECT_TRUE(found);
}

TEST(RunMount, AgentsAreInTheEnvironmentUnlessThatIsSet) {
  pb::ExecOp const exec = last_exec(convert("FROM scratch\nRUN --mount=type=ssh --mount=type=ssh,id=b,mode=0666 y"));
  EXPECT_EQ(exec.meta().env(exec.meta().env_size() - 1), "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0");
  EXPECT_EQ(exec.mounts(1).sshopt().id(), "");
  EXPECT_EQ(exec.mounts(1).sshopt().mode(), 0600U);
  EXPECT_EQ(exec.mounts(2).dest(), "/run/buildkit/ssh_agent.1");
  EXPECT_EQ(exec.mounts(2).sshopt().mode(), 0666U);
  EXPECT_EQ(error_of("FROM scratch\nRUN --mount=type=ssh,source=/x y"), "ssh does not support source");
}

TEST(RunDevice, IsAskedForByName) {
  auto const exec = last_exec(convert(
      "FROM scratch\nRUN --device=vendor.com/gpu=all --device=vendor.com/x,required --device=name=a,required=false y"));
  ASSERT_EQ(exec.cdidevices_size(), 3);
  EXPECT_EQ(exec.cdidevices(0).name(), "vendor.com/gpu=all");
  EXPECT_TRUE(exec.cdidevices(0).optional());
  EXPECT_EQ(exec.cdidevices(1).name(), "vendor.com/x");
  EXPECT_FALSE(exec.cdidevices(1).optional());
  EXPECT_EQ(exec.cdidevices(2).name(), "a");
  EXPECT_TRUE(exec.cdidevices(2).optional());
}

TEST(RunDevice, BadOnesAreRefusedInBuildKitsWords) {
  EXPECT_THAT(error_of("FROM scratch\nRUN --device=a,nam=b y"),
              HasSubstr("unexpected key 'nam' in 'nam=b' (did you mean name?)"));
  EXPECT_THAT(error_of("FROM scratch\nRUN --device=a,required=perhaps y"),
              HasSubstr("invalid value for required: perhaps"));
  EXPECT_THAT(error_of("FROM scratch\nRUN --device=a,b y"),
              HasSubstr("invalid field 'b' must be a key=value pair"));
}

TEST(GoCsv, SplitsOneRecord) {
  EXPECT_THAT(go_csv_fields("a,b=c,"), ElementsAre("a", "b=c", ""));
  EXPECT_THAT(go_csv_fields("\"a,\"\"b\"\"\",c\n"), ElementsAre("a,\"b\"", "c"));
  EXPECT_THAT(go_csv_fields("\"\""), ElementsAre(""));
  EXPECT_THROW((void)go_csv_fields("\"a"), Error);
  EXPECT_THROW((void)go_csv_fields("\"a\"b"), Error);
  EXPECT_THROW((void)go_csv_fields("\n"), Error);
}

}  // namespace
}  // namespace cobuild::dockerfile
