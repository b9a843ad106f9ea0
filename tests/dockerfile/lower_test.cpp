#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert.hpp"
#include "core/base/digest.hpp"
#include "core/llb/marshal.hpp"

namespace cobuild::dockerfile {
namespace {

namespace json = boost::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<std::string> env_of(const pb::ExecOp& exec) { return {exec.meta().env().begin(), exec.meta().env().end()}; }

std::vector<std::string> history_of(const Lowered& lowered) {
  std::vector<std::string> out;
  json::value const config = json::parse(lowered.image_config);
  for (const auto& entry : config.at("history").as_array()) {
    out.emplace_back(entry.at("created_by").as_string());
  }
  return out;
}

json::value config_of(const Lowered& lowered) { return json::parse(lowered.image_config).at("config"); }

std::vector<std::string> names_of(const Lowered& lowered) {
  std::vector<std::string> names;
  for (const std::string& bytes : lowered.definition.def()) {
    auto const& metadata = lowered.definition.metadata().at(Digest::of(bytes).to_string());
    auto const name = metadata.description().find("llb.customname");
    if (name != metadata.description().end()) names.push_back(name->second);
  }
  return names;
}

pb::FileActionCopy copy_of(const std::string& instructions) {
  auto const ops = ops_of(convert("FROM scratch\n" + instructions));
  return ops.back().file().actions(0).copy();
}

const std::string kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

TEST(Variables, EnvSeesTheValueBeforeTheInstruction) {  // F10.29, F1.3.18
  auto const lowered = convert("FROM scratch\nENV a=old\nENV a=new c=$a\nRUN x");
  EXPECT_THAT(env_of(last_exec(lowered)), ElementsAre(kPath, "a=new", "c=old"));
}

TEST(Variables, ArgsAreEvaluatedFromLeftToRight) {  // F10.30, F1.3.19
  auto const lowered = convert("FROM scratch\nARG a=1 b=$a c=${b}x\nRUN x");
  EXPECT_THAT(env_of(last_exec(lowered)), ElementsAre(kPath, "a=1", "b=1", "c=1x"));
}

TEST(Variables, ArgAfterEnvIsForThisStage) {  // F10.31
  std::string const text = "FROM scratch AS one\nENV a=env\nARG a=arg\nRUN x\n";
  EXPECT_THAT(env_of(last_exec(convert(text))), ElementsAre(kPath, "a=arg"));
  EXPECT_EQ(config_of(convert(text)).at("Env"), (json::array{kPath, "a=env"}));
  EXPECT_THAT(env_of(last_exec(convert(text + "FROM one\nRUN y"))), ElementsAre(kPath, "a=env"));
}

TEST(Variables, GlobalArgsMustBeDeclaredAgain) {  // F10.32
  auto options = test_options();
  EXPECT_THAT(env_of(last_exec(convert("ARG V=1\nFROM scratch\nENV x=[$V]\nARG V\nRUN y"))),
              ElementsAre(kPath, "x=[]", "V=1"));
  options.build_args["V"] = "2";
  EXPECT_THAT(env_of(last_exec(convert("ARG V=${bad\nFROM scratch\nARG V\nRUN y", options))),
              ElementsAre(kPath, "V=2"));
}

TEST(Variables, ArgsAreInheritedByChildStages) {  // F10.33, F1.5.7
  auto const lowered = convert("FROM scratch AS one\nARG z=1\nFROM one\nRUN x");
  EXPECT_THAT(env_of(last_exec(lowered)), ElementsAre("z=1", kPath));
  EXPECT_EQ(history_of(lowered).back(), "RUN |1 z=1 /bin/sh -c x # buildkit");
}

TEST(Variables, UnsetArgsAreInTheHistory) {  // F10.39, F1.5.10, F1.6.6
  auto const history = history_of(convert("FROM scratch\nARG a=1 b\nRUN true"));
  EXPECT_THAT(history, ElementsAre("ARG a=1 b", "RUN |2 a=1 b= /bin/sh -c true # buildkit"));
}

TEST(Variables, PlatformArgs) {
  auto options = test_options();
  options.target_platform = test_platform();
  options.target_platform->set_architecture("arm64");
  auto const lowered = convert("FROM scratch AS x\nARG TARGETARCH BUILDARCH TARGETPLATFORM TARGETSTAGE\nRUN y", options);
  EXPECT_THAT(env_of(last_exec(lowered)),
              ElementsAre(kPath, "TARGETARCH=arm64", "BUILDARCH=amd64", "TARGETPLATFORM=linux/arm64", "TARGETSTAGE=x"));
  EXPECT_EQ(lowered.platform.architecture(), "arm64");
}

TEST(Variables, ScansAreNotSeenByStages) {  // F1.5.22
  auto const lowered = convert("FROM scratch\nARG BUILDKIT_SBOM_SCAN_STAGE=true BUILDKIT_SBOM_SCAN_CONTEXT\nRUN x");
  EXPECT_THAT(env_of(last_exec(lowered)), ElementsAre(kPath));
}

TEST(Variables, ProxiesAreNoArgs) {
  auto options = test_options();
  options.build_args = {{"http_proxy", "a"}, {"NO_PROXY", "b"}};
  auto const exec = last_exec(convert("FROM scratch\nRUN x", options));
  EXPECT_THAT(env_of(exec), ElementsAre(kPath));
  EXPECT_EQ(exec.meta().proxy_env().http_proxy(), "a");
  EXPECT_EQ(exec.meta().proxy_env().no_proxy(), "b");
}

TEST(Variables, EpochIsANumberForStages) {
  auto options = test_options();
  options.build_args["SOURCE_DATE_EPOCH"] = "0";
  auto const lowered = convert("FROM scratch\nARG SOURCE_DATE_EPOCH\nWORKDIR /w\nRUN x", options);
  EXPECT_THAT(env_of(last_exec(lowered)), ElementsAre(kPath, "SOURCE_DATE_EPOCH=0"));
  EXPECT_EQ(ops_of(lowered)[0].file().actions(0).mkdir().timestamp(), 0);
  EXPECT_EQ(lowered.epoch, Timestamp());
}

TEST(Run, HeredocsBecomeScripts) {
  auto const args = [](const std::string& run) {
    auto const exec = last_exec(convert("FROM scratch\n" + run));
    return std::vector<std::string>(exec.meta().args().begin(), exec.meta().args().end());
  };
  EXPECT_THAT(args("RUN <<-E\n\ta\n\t\tb\n\tE\n"), ElementsAre("/bin/sh", "-c", "a\nb\n"));
  EXPECT_THAT(args("RUN cat <<A > /x <<B\na$x\nA\nb\nB\n"),
              ElementsAre("/bin/sh", "-c", "cat <<A > /x <<B\na$x\nA\nb\nB"));
  EXPECT_THAT(args("SHELL [\"bash\", \"-e\"]\nRUN <<E\n#!/bin/x\ny\nE\n"), ElementsAre("bash", "-e", "/dev/pipes/E"));
  EXPECT_THAT(args("RUN [\"a\", \"$b\"]"), ElementsAre("a", "$b"));
  auto const script = convert("FROM scratch\nRUN <<E\n#!/bin/x\ny\nE\n");
  EXPECT_EQ(ops_of(script)[0].file().actions(0).mkfile().mode(), 0755);
  ASSERT_EQ(last_exec(script).mounts_size(), 2);
  EXPECT_EQ(last_exec(script).mounts(1).dest(), "/dev/pipes/");
  EXPECT_TRUE(last_exec(script).mounts(1).readonly());
}

TEST(Run, NamesShowValuesOfSetVariables) {  // F1.6.7, F1.2.13
  EXPECT_THAT(names_of(convert("FROM scratch\nRUN --network=none <<E\n\n one\ntwo\nE\n")),
              ElementsAre("[1/1] RUN --network=none <<E (one...)"));
  EXPECT_THAT(names_of(convert("FROM scratch\nENV a=1\nrun echo \"$a\" $b '$a' \\\n # c\n x")),
              ElementsAre("[1/1] RUN echo \"1\" $b '$a'  x"));
}

TEST(Run, NeedsACommand) {
  EXPECT_EQ(error_of("FROM scratch\nRUN []\n"), "RUN [] names no command: arguments are required");
}

TEST(Run, FlagsReachTheOp) {  // F1.11.21, F1.6.4
  auto options = test_options();
  options.network = pb::HOST;
  options.cgroup_parent = "/c";
  EXPECT_EQ(last_exec(convert("FROM scratch\nRUN x", options)).network(), pb::HOST);
  EXPECT_EQ(last_exec(convert("FROM scratch\nRUN x", options)).meta().cgroupparent(), "/c");
  EXPECT_EQ(last_exec(convert("FROM scratch\nRUN --network=none x", options)).network(), pb::NONE);
  EXPECT_EQ(last_exec(convert("FROM scratch\nRUN --security=insecure x")).security(), pb::INSECURE);
}

TEST(Copy, Paths) {  // F1.7.3, F1.7.4
  struct Row {
    const char* instructions;
    const char* source;
    const char* destination;
  };
  for (const Row& row : {Row{"COPY a /b", "/a", "/b"}, Row{"COPY ../a /b/", "/a", "/b/"},
                         Row{"COPY /a/ /b/.", "/a", "/b/."}, Row{"WORKDIR /w\nCOPY a b", "/a", "/w/b"},
                         Row{"WORKDIR /w\nCOPY a .", "/a", "/w/"}, Row{"WORKDIR /w\nCOPY a b/", "/a", "/w/b/"},
                         Row{"COPY a .", "/a", "/"}, Row{"COPY a b/.", "/a", "/b/."}, Row{"COPY . /.", "/", "/."},
                         Row{"COPY a /x//y/../z/", "/a", "/x/z/"},
                         Row{"COPY [\"a b\", \"/c d\"]", "/a b", "/c d"},
                         Row{"ENV d=/e\nCOPY $d/a ${d}/b", "/e/a", "/e/b"}}) {
    auto const copy = copy_of(row.instructions);
    EXPECT_EQ(copy.src(), row.source) << row.instructions;
    EXPECT_EQ(copy.dest(), row.destination) << row.instructions;
  }
}

TEST(Copy, Owners) {
  auto const owner = [](const std::string& chown) { return copy_of("COPY --chown=" + chown + " a /b").owner(); };
  EXPECT_EQ(owner("5").user().byid(), 5U);
  EXPECT_FALSE(owner("5").has_group());
  EXPECT_EQ(owner("root:7").group().byid(), 7U);
  EXPECT_EQ(owner("bob:staff").user().byname().name(), "bob");
  EXPECT_EQ(owner("bob:staff").user().byname().input(), -1);  // F10.13: nowhere to look it up.
}

TEST(Copy, Modes) {
  EXPECT_EQ(copy_of("COPY a /b").mode(), -1);
  EXPECT_EQ(copy_of("COPY --chmod=755 a /b").mode(), 0755);
  EXPECT_EQ(copy_of("COPY --chmod=u=rwX,go+r-w a /b").modestr(), "u=rwX,go+r-w");
  EXPECT_EQ(error_of("FROM scratch\nCOPY --chmod=999 a /b"),
            "invalid chmod parameter: '999'. it should be octal string and between 0 and 07777");
  EXPECT_EQ(error_of("FROM scratch\nCOPY --chmod=10000 a /b"),
            "invalid chmod parameter: '10000'. it should be octal string and between 0 and 07777");
  EXPECT_THAT(error_of("FROM scratch\nCOPY --chmod=zz a /b"), StartsWith("invalid chmod parameter: 'zz'"));
}

TEST(Copy, AddUnpacksUnlessToldOtherwise) {
  EXPECT_TRUE(copy_of("ADD a /b").attemptunpackdockercompatibility());
  EXPECT_FALSE(copy_of("ADD --unpack=false a /b").attemptunpackdockercompatibility());
  EXPECT_FALSE(copy_of("COPY a /b").attemptunpackdockercompatibility());
}

TEST(Copy, LinkWithChmodIsAnOrdinaryCopy) {  // F10.17
  auto const lowered = convert("FROM scratch\nCOPY a /a\nCOPY --link --chmod=644 b /b");
  for (const pb::Op& op : ops_of(lowered)) EXPECT_FALSE(op.has_merge());
}

TEST(Copy, DocumentsAreExpandedUnlessQuoted) {  // F10.28
  auto const data = [](const std::string& copy) {
    return ops_of(convert("FROM scratch\nENV v=1\n" + copy))[0].file().actions(0).mkfile().data();
  };
  EXPECT_EQ(data("COPY <<-a /\n\t'$v'\\$v\n\ta\n"), "'1'$v\n");
  EXPECT_EQ(data("COPY <<-\"b\" /\n\t$v\n\tb\n"), "$v\n");
}

TEST(Copy, OnlyUsedPathsAreWanted) {  // F1.7.26
  EXPECT_THAT(convert("FROM scratch\nCOPY b/../c a /x\nADD c/*.d /y").context_paths, ElementsAre("a", "c", "c/*.d"));
  EXPECT_TRUE(convert("FROM scratch\nCOPY a .. /x").context_paths.empty());
  EXPECT_THAT(convert("FROM scratch AS u\nCOPY z /\nFROM scratch\nCOPY a /").context_paths, ElementsAre("a"));
}

TEST(Config, MetadataInstructions) {
  auto const lowered = convert(
      "FROM scratch\nLABEL a=b\nLABEL a=c\nEXPOSE 8080-8081/udp [::1]:5:443/TCP\nUSER bob\nWORKDIR w\nWORKDIR x\n"
      "CMD a b\nENTRYPOINT [\"e\"]\nHEALTHCHECK NONE\nSTOPSIGNAL RTMIN+3");
  json::value const expected = json::parse(R"({"User":"bob","ExposedPorts":{"443/tcp":{},"8080/udp":{},"8081/udp":{}},
      "Env":[")" + kPath + R"("],"Entrypoint":["e"],"Cmd":["/bin/sh","-c","a b"],"WorkingDir":"/w/x",
      "Labels":{"a":"c"},"StopSignal":"RTMIN+3","ArgsEscaped":true,"Healthcheck":{"Test":["NONE"]}})");
  EXPECT_EQ(config_of(lowered), expected) << json::serialize(config_of(lowered));
  EXPECT_THAT(history_of(lowered), testing::Contains("WORKDIR /w/x"));
}

TEST(Config, LabelsOfTheCommandLineWin) {  // F10.97
  auto options = test_options();
  options.labels = {{"a", "opt"}, {"b", "opt"}};
  auto const lowered = convert("FROM scratch\nLABEL a=file", options);
  EXPECT_EQ(config_of(lowered).at("Labels"), json::parse(R"({"a":"opt","b":"opt"})"));
  EXPECT_THAT(history_of(lowered), ElementsAre("LABEL a=file"));
}

TEST(Config, EntrypointDropsInheritedCmd) {  // F10.46
  std::string const base = "FROM scratch AS b\nCMD [\"x\"]\nFROM b\n";
  EXPECT_FALSE(config_of(convert(base + "ENTRYPOINT [\"e\"]")).as_object().contains("Cmd"));
  EXPECT_TRUE(config_of(convert(base + "CMD [\"y\"]\nENTRYPOINT [\"e\"]")).as_object().contains("Cmd"));
}

TEST(Config, PortErrors) {
  EXPECT_EQ(error_of("FROM scratch\nEXPOSE 80/x"), "invalid port: \"80/x\": invalid proto: x");
  EXPECT_EQ(error_of("FROM scratch\nEXPOSE 70000"), "invalid containerPort: 70000");
  EXPECT_EQ(error_of("FROM scratch\nEXPOSE /tcp"), "invalid port: \"/tcp\": no port specified");
  EXPECT_EQ(error_of("FROM scratch\nSTOPSIGNAL SIGFOO"), "invalid signal: SIGFOO");
}

TEST(Stages, UnreachableOnesDoNotMatter) {  // F10.43, F1.4.16
  EXPECT_EQ(error_of("FROM scratch AS x\nCOPY --chmod=9 a b\nFROM scratch\nRUN y"), "");
}

TEST(Stages, Targets) {  // F1.11.2
  auto options = test_options();
  options.target = "ONE";  // F10.40
  EXPECT_EQ(convert("FROM scratch AS One\nRUN x\nFROM scratch", options).target_stage, "one");
  options.target = "oen";
  EXPECT_EQ(error_of("FROM scratch AS one", options),
            "target stage \"oen\" could not be found (did you mean one?)");
}

TEST(Stages, LastOfEqualNamesWins) {  // F10.41
  auto const lowered = convert(
      "FROM scratch AS a\nRUN one\nFROM scratch AS a\nRUN two\nFROM scratch\nCOPY --from=A /x /x");
  EXPECT_THAT(names_of(lowered), ElementsAre("[a 1/1] RUN two", "[stage-2 1/1] COPY --from=A /x /x"));
}

TEST(Stages, NamesOfSteps) {  // F1.4.20
  std::string const text =
      "FROM alpine AS one\nWORKDIR /w\nARG TARGETARCH\nRUN x\nADD a /\nONBUILD RUN y\nFROM one\nCOPY b /";
  ResolvedImages const images{{image_key("docker.io/library/alpine:latest"), image("")}};
  EXPECT_THAT(names_of(convert("FROM scratch\nWORKDIR /w\nENV a=b\nRUN x")),
              ElementsAre("[1/2] WORKDIR /w", "[2/2] RUN x"));
  auto options = test_options();
  options.multi_platform = true;
  options.target_platform = test_platform();
  auto const names = names_of(convert(text, options, images));
  EXPECT_THAT(names, testing::IsSupersetOf({"[linux/amd64 one 2/4] WORKDIR /w", "[linux/amd64 one 3/4] RUN x",
                                            "[linux/amd64 one 4/4] ADD a /", "[linux/amd64 stage-1 1/2] ONBUILD RUN y",
                                            "[linux/amd64 stage-1 2/2] COPY b /"}));
  options.target_platform->set_architecture("arm64");
  EXPECT_THAT(names_of(convert("FROM --platform=$BUILDPLATFORM alpine\nARG TARGETPLATFORM\nRUN x", options, images)),
              testing::Contains("[linux/amd64->arm64 2/2] RUN x"));
}

TEST(Stages, Errors) {
  EXPECT_EQ(error_of("FROM scratch AS x\nCOPY --from=x a b"), "circular dependency detected on stage: x");
  EXPECT_EQ(error_of("FROM scratch\nCOPY --from=7 a b"), "invalid stage index 7");
  EXPECT_EQ(error_of("FROM scratch AS a\nCOPY --from=b x y\nFROM scratch AS b\nRUN z\nFROM a"),
            "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"");
  EXPECT_EQ(error_of("FROM $x"), "base name ($x) should not be blank");
  EXPECT_THAT(error_of("FROM Alpine"), StartsWith("failed to parse stage name \"Alpine\": invalid reference format"));
  EXPECT_EQ(error_of("FROM --platform=$y scratch"), "empty platform value from expression $y");
  EXPECT_THAT(error_of("FROM --platform=a/b/c/d scratch"), StartsWith("failed to parse platform a/b/c/d: "));
  EXPECT_THAT(error_of("FROM scratch\nCOPY --from=$x a b"), StartsWith("variable expansion is not supported for --from"));
}

TEST(Stages, NoCacheIsForRunAndCopyOfTheNamedStages) {
  auto options = test_options();
  options.no_cache_stages = {"A"};
  auto const lowered = convert("FROM scratch AS a\nRUN x\nFROM scratch\nCOPY --from=a /x /x\nRUN y", options);
  std::map<std::string, bool> ignored;
  for (const auto& [digest, metadata] : lowered.definition.metadata()) {
    if (metadata.description().contains("llb.customname")) {
      ignored[metadata.description().at("llb.customname")] = metadata.ignore_cache();
    }
  }
  EXPECT_THAT(ignored, ElementsAre(testing::Pair("[a 1/1] RUN x", true),
                                   testing::Pair("[stage-1 1/2] COPY --from=a /x /x", false),
                                   testing::Pair("[stage-1 2/2] RUN y", false)));
}

TEST(Refused, NamesWhatIsNotThereYetAndWhere) {
  struct Row {
    const char* instruction;
    const char* message;
    ErrorKind kind;
  };
  for (const Row& row : {Row{"COPY https://x/y /z", "source can't be a URL for COPY", ErrorKind::kInvalidInput},
                         Row{"COPY git://x/y /z", "source can't be a git ref for COPY", ErrorKind::kInvalidInput},
                         Row{"ADD --checksum=a b /z", "checksum requires HTTP(S) or Git sources", ErrorKind::kInvalidInput}}) {
    try {
      (void)convert(std::string("FROM scratch\n\n") + row.instruction);
      ADD_FAILURE() << row.instruction;
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(row.message));
      EXPECT_EQ(error.kind(), row.kind);
      EXPECT_EQ(line_of(error), 3);
    }
  }
}

TEST(Deterministic, EqualInputsGiveEqualBytes) {
  std::string const text = "FROM scratch AS a\nCOPY x /\nFROM scratch\nCOPY --link --from=a / /\nCOPY --link y /\nRUN z";
  EXPECT_EQ(llb::marshal(convert(text).definition), llb::marshal(convert(text).definition));
}

}  // namespace
}  // namespace cobuild::dockerfile
