#include "cli/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;
using Words = std::vector<std::string>;
using Variables = std::map<std::string, std::string>;

Surroundings surroundings(Variables variables = {{"HOME", "/home/u"}}, bool terminal = false) {
  Surroundings result;
  result.environment = [variables](std::string_view name) -> std::optional<std::string> {
    auto const found = variables.find(std::string(name));
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  result.stdin_is_terminal = terminal;
  result.stdout_is_terminal = terminal;
  return result;
}

BuildOptions parse_build(Words words, const Surroundings& around = surroundings()) {
  words.insert(words.begin(), "build");
  return std::get<BuildOptions>(parse_command_line(std::move(words), around));
}

TEST(Options, DockerSpellingBecomesFrontendOptions) {
  auto const build =
      parse_build({"-t", "a:1", "-tb", "-f", "sub/Other", "--target=T", "--build-arg", "K=V=W",
                   "--label", "l=m", "--platform", "linux/amd64", "--pull", "ctx"});
  EXPECT_EQ(build.frontend, "dockerfile.v0");
  EXPECT_THAT(build.locals, ElementsAre(Pair("context", "ctx"), Pair("dockerfile", "sub")));
  EXPECT_THAT(build.frontend_options,
              ElementsAre(Pair("build-arg:K", "V=W"), Pair("filename", "Other"),
                          Pair("image-resolve-mode", "pull"), Pair("label:l", "m"),
                          Pair("platform", "linux/amd64"), Pair("target", "T")));
  EXPECT_THAT(build.tags, ElementsAre("a:1", "b"));
  EXPECT_TRUE(build.outputs.empty());
}

TEST(Options, SecretsAreFilesOrVariables) {
  auto const around = surroundings({{"HOME", "/h"}, {"TOKEN", "x"}});
  auto const build = parse_build({"--secret", "id=a,src=/f", "--secret", "ID=b,env=V", "--secret", "id=TOKEN",
                                  "--secret", "id=c", "--secret", "id=d,type=env,source=W", "--secret",
                                  "\"id=e\",\"src=/x,y\"", "."},
                                 around);
  std::vector<std::string> read;
  for (const auto& secret : build.secrets) {
    read.push_back(secret.id + " " + secret.file.string() + " " + secret.env);
  }
  EXPECT_THAT(read, ElementsAre("a /f ", "b  V", "TOKEN  TOKEN", "c c ", "d  W", "e /x,y "));
}

TEST(Options, AgentsAreSocketsOrKeys) {
  auto const around = surroundings({{"HOME", "/h"}, {"SSH_AUTH_SOCK", "/agent"}});
  auto const build = parse_build(
      {"--ssh", "default", "--ssh", "keys=/a,/b", "--ssh", "r=/s,raw=true", "--ssh", "=/x", "."}, around);
  ASSERT_EQ(build.ssh.size(), 4U);
  EXPECT_THAT(build.ssh[0].paths, ElementsAre("/agent"));
  EXPECT_THAT(build.ssh[1].paths, ElementsAre("/a", "/b"));
  EXPECT_TRUE(build.ssh[2].raw);
  EXPECT_FALSE(build.ssh[1].raw);
  EXPECT_EQ(build.ssh[3].id, "default");
}

TEST(Options, TimingsAreToldWhenAskedFor) {
  EXPECT_FALSE(parse_build({"."}).timings);
  EXPECT_TRUE(parse_build({"--timings", "."}).timings);
}

TEST(Options, TagsNameTheOutputsThatHaveNames) {
  auto const build = parse_build({"-t", "a", "-t", "b", "-o", "type=oci,dest=x", "-o",
                                  "type=docker,name=c,dest=y", "-o", "out", "."});
  ASSERT_EQ(build.outputs.size(), 3U);
  EXPECT_THAT(build.outputs[0].attributes, ElementsAre(Pair("name", "a,b")));
  EXPECT_THAT(build.outputs[1].attributes, ElementsAre(Pair("name", "a,b")));
  EXPECT_THAT(build.outputs[2].attributes, ElementsAre());
}

TEST(Options, CacheonlyWritesNothing) {
  EXPECT_TRUE(parse_build({"-o", "type=cacheonly", "."}).outputs.empty());
}

TEST(Options, PushIsAboutImages) {
  auto const alone = parse_build({"--push", "-t", "a", "-t", "b:1", "."});
  ASSERT_EQ(alone.outputs.size(), 1U);
  EXPECT_EQ(alone.outputs[0].type, "image");
  EXPECT_THAT(alone.outputs[0].attributes,
              UnorderedElementsAre(Pair("name", "a,b:1"), Pair("push", "true")));
  auto const beside = parse_build({"--push", "-t", "a", "-o", "type=oci,dest=f", "."});
  ASSERT_EQ(beside.outputs.size(), 2U);
  EXPECT_EQ(beside.outputs[1].attributes.at("push"), "true");
  auto const image = parse_build({"--push", "-t", "a", "-o", "type=image,compression=zstd", "."});
  ASSERT_EQ(image.outputs.size(), 1U);
  EXPECT_EQ(image.outputs[0].attributes.at("push"), "true");
}

TEST(Options, LoadIsAboutDocker) {
  auto const alone = parse_build({"--load", "-t", "a", "."}, surroundings({{"HOME", "/h"}}, true));
  ASSERT_EQ(alone.outputs.size(), 1U);
  EXPECT_EQ(alone.outputs[0].type, "docker");
  EXPECT_TRUE(alone.outputs[0].load);
  EXPECT_FALSE(alone.outputs[0].to_stdout());
  EXPECT_EQ(alone.outputs[0].attributes.at("name"), "a");
  auto const piped = parse_build({"--load", "-o", "type=docker,compression=zstd", "."});
  ASSERT_EQ(piped.outputs.size(), 1U);
  EXPECT_TRUE(piped.outputs[0].load);
  auto const written = parse_build({"--load", "-o", "type=docker,dest=f", "."});
  ASSERT_EQ(written.outputs.size(), 2U);
  EXPECT_FALSE(written.outputs[0].load);
  EXPECT_TRUE(written.outputs[1].load);
}

TEST(Options, BothSpellingsMeanTheSame) {
  auto const docker = parse_build(
      {"--target", "T", "--build-arg", "K=V", "--no-cache", "-o", "type=oci,dest=out.tar", "."});
  auto const buildctl = parse_build(
      {"--frontend", "dockerfile.v0", "--local", "context=.", "--local", "dockerfile=.", "--opt",
       "target=T", "--opt", "build-arg:K=V", "--no-cache", "--output", "type=oci,dest=out.tar"});
  EXPECT_EQ(docker.frontend, buildctl.frontend);
  EXPECT_EQ(docker.frontend_options, buildctl.frontend_options);
  EXPECT_EQ(docker.locals, buildctl.locals);
  EXPECT_EQ(docker.outputs, buildctl.outputs);
  EXPECT_THAT(docker.frontend_options, testing::Contains(Pair("no-cache", "")));
}

TEST(Options, BuildArgWithoutValueComesFromTheEnvironment) {
  auto const around = surroundings({{"HOME", "/h"}, {"A", "1"}, {"SOURCE_DATE_EPOCH", "7"}});
  auto const build =
      parse_build({"--build-arg", "A", "--build-arg", "B", "--opt", "build-arg:A", "."}, around);
  EXPECT_THAT(build.frontend_options,
              ElementsAre(Pair("build-arg:A", "1"), Pair("build-arg:SOURCE_DATE_EPOCH", "7")));
  auto const given = parse_build({"--build-arg", "SOURCE_DATE_EPOCH=9", "."}, around);
  EXPECT_THAT(given.frontend_options, ElementsAre(Pair("build-arg:SOURCE_DATE_EPOCH", "9")));
}

TEST(Options, ResourceLimits) {
  auto const build = parse_build({"--add-host", "a:1.2.3.4", "--add-host", "b:[::1]", "--rm", "--shm-size",
                                  "64m", "--ulimit", "nofile=1:2", "-m", "1g", "--memory-swap",
                                  "-1", "--cpuset-cpus", "0-3", "--network", "host", "."});
  EXPECT_THAT(build.frontend_options,
              UnorderedElementsAre(Pair("add-hosts", "a=1.2.3.4,b=::1"),
                                   Pair("shm-size", "67108864"), Pair("ulimit", "nofile=1:2"),
                                   Pair("memory", "1073741824"), Pair("memswap", "-1"),
                                   Pair("cpusetcpus", "0-3"), Pair("force-network-mode", "host")));
  EXPECT_THAT(build.entitlements, ElementsAre("network.host"));
}

TEST(Options, CallsAreRequestsOfTheFrontend) {
  auto const check = parse_build({"--check", "."});
  EXPECT_THAT(check.frontend_options, ElementsAre(Pair("requestid", "frontend.lint")));
  ASSERT_TRUE(check.call.has_value());
  EXPECT_EQ(check.call->name, "lint");
  auto const outline = parse_build({"--call=outline,format=json", "."});
  EXPECT_THAT(outline.frontend_options, ElementsAre(Pair("requestid", "frontend.outline")));
  EXPECT_TRUE(outline.call.has_value() && outline.call->json);
  auto const build = parse_build({"--call", "build", "."});
  EXPECT_FALSE(build.call.has_value());
  EXPECT_TRUE(build.frontend_options.empty());
}

TEST(Options, AnnotationsGoToImageExporters) {
  auto const build = parse_build({"--annotation", "a.B=1=2", "--annotation", "manifest:c=", "-o",
                                  "type=oci,dest=x", "-o", "type=local,dest=y", "."});
  EXPECT_THAT(build.outputs.at(0).attributes,
              ElementsAre(Pair("annotation-manifest.c", ""), Pair("annotation.a.B", "1=2")));
  EXPECT_TRUE(build.outputs.at(1).attributes.empty());
}

TEST(Options, NamedContexts) {
  auto const build =
      parse_build({"--build-context", "lib=../lib", "--build-context", "base=docker-image://debian",
                   "--build-context", "lay=oci-layout://dir@sha256:abc", "."});
  EXPECT_THAT(build.locals, testing::Contains(Pair("lib", "../lib")));
  EXPECT_THAT(build.oci_layouts, ElementsAre(Pair("lay", "dir")));
  EXPECT_THAT(build.frontend_options,
              ElementsAre(Pair("context:base", "docker-image://debian"),
                          Pair("context:lay", "oci-layout://lay@sha256:abc"),
                          Pair("context:lib", "local:lib")));
}

TEST(Options, DockerfileFromStdin) {
  auto const build = parse_build({"-f", "-", "."});
  EXPECT_TRUE(build.dockerfile_from_stdin);
  EXPECT_THAT(build.locals, ElementsAre(Pair("context", ".")));
}

TEST(Options, NoContextIsLlbFromStdin) {
  auto const build = parse_build({"--no-cache", "-o", "type=oci,dest=x"});
  EXPECT_EQ(build.frontend, "");
  EXPECT_TRUE(build.no_cache);
}

TEST(Options, GlobalFlagsBeforeAndAfterTheCommand) {
  auto const command =
      parse_command_line({"--root", "/a", "--insecure-registry", "x", "build", "--root", "/b",
                          "--insecure-registry=y", "--mirror", "docker.io=http://m", "."},
                         surroundings());
  const auto& global = std::get<BuildOptions>(command).global;
  EXPECT_EQ(global.root, "/b");
  EXPECT_EQ(global.registry_timeout, std::chrono::seconds(30));
  EXPECT_THAT(global.insecure_registries, ElementsAre("x", "y"));
  EXPECT_THAT(global.mirrors, ElementsAre(Pair("docker.io", ElementsAre("http://m"))));
}

TEST(Options, RegistryTimeout) {
  auto const command =
      parse_command_line({"build", "--registry-timeout", "7", "."}, surroundings());
  EXPECT_EQ(std::get<BuildOptions>(command).global.registry_timeout, std::chrono::seconds(7));
  for (const char* text : {"0", "-1", "1s", "", "86401"}) {
    EXPECT_THROW(
        (void)parse_command_line({"build", "--registry-timeout", text, "."}, surroundings()), Error)
        << text;
  }
}

TEST(Options, Root) {
  auto root = surroundings({{"HOME", "/root"}});
  root.is_root = true;
  EXPECT_EQ(resolve_root("", root), "/var/lib/cobuild");
  EXPECT_EQ(resolve_root("", surroundings({{"HOME", "/h"}})), "/h/.local/share/cobuild");
  EXPECT_EQ(resolve_root("", surroundings({{"XDG_DATA_HOME", "/x"}, {"HOME", "/h"}})),
            "/x/cobuild");
  EXPECT_EQ(resolve_root("", surroundings({{"COBUILD_ROOT", "/r"}, {"HOME", "/h"}})), "/r");
  EXPECT_EQ(resolve_root("/f", surroundings({{"COBUILD_ROOT", "/r"}})), "/f");
  EXPECT_THROW((void)resolve_root("", surroundings({})), Error);
}

TEST(Options, ProgressMode) {
  auto const around = surroundings({{"HOME", "/h"}, {"BUILDKIT_PROGRESS", "plain"}});
  EXPECT_EQ(parse_build({"."}, around).progress, ProgressMode::kPlain);
  EXPECT_EQ(parse_build({"--progress=auto", "."}, around).progress, ProgressMode::kPlain);
  EXPECT_EQ(parse_build({"--progress=tty", "."}, around).progress, ProgressMode::kTty);
  EXPECT_EQ(parse_build({"-q", "."}, around).progress, ProgressMode::kQuiet);
  EXPECT_EQ(parse_build({"."}).progress, ProgressMode::kAuto);
}

TEST(Options, PruneLimits) {  // F5.5.5
  auto const command =
      parse_command_line({"prune", "--all", "--keep-duration", "1h30m", "--keep-storage", "1.5",
                          "-f", "type==regular", "--format", "{{json .}}"},
                         surroundings());
  const auto& prune = std::get<PruneCommandOptions>(command);
  EXPECT_TRUE(prune.all && prune.json);
  EXPECT_EQ(prune.keep_duration, std::chrono::minutes(90));
  EXPECT_EQ(prune.max_used_bytes, 1'500'000);
  EXPECT_THAT(prune.filters, ElementsAre("type==regular"));
}

TEST(Options, CacheVerify) {
  auto const parse = [](Words words) {
    return parse_command_line(std::move(words), surroundings());
  };
  EXPECT_TRUE(std::get<CacheVerifyOptions>(parse({"cache", "verify", "--json"})).json);
  EXPECT_FALSE(std::get<CacheVerifyOptions>(parse({"cache", "verify"})).json);
  EXPECT_THAT(std::get<HelpOptions>(parse({"cache"})).text, HasSubstr("cache verify"));
}

TEST(Options, OtherCommands) {
  auto const parse = [](Words words) {
    return parse_command_line(std::move(words), surroundings());
  };
  EXPECT_TRUE(std::holds_alternative<VersionOptions>(parse({"--version"})));
  EXPECT_TRUE(std::holds_alternative<VersionOptions>(parse({"version"})));
  EXPECT_TRUE(std::holds_alternative<DoctorOptions>(parse({"doctor"})));
  EXPECT_TRUE(std::get<DumpLlbOptions>(parse({"debug", "dump-llb", "--dot", "f"})).dot);
  auto const llb =
      std::get<DockerfileToLlbOptions>(parse({"debug", "dockerfile2llb", "-f", "d/F", "c"}));
  EXPECT_EQ(llb.build.locals.at("dockerfile"), "d");
  EXPECT_TRUE(std::get<DiskUsageOptions>(parse({"du", "-v"})).verbose);
  EXPECT_TRUE(std::get<DiskUsageOptions>(parse({"du", "--json"})).json);
  EXPECT_TRUE(std::get<PruneCommandOptions>(parse({"prune", "--json"})).json);
  auto const why = std::get<WhyOptions>(parse({"why", "--json", "RUN", "make"}));
  EXPECT_TRUE(why.json);
  EXPECT_EQ(why.step, "RUN make");
  EXPECT_EQ(std::get<WhyOptions>(parse({"why"})).step, "");
  EXPECT_TRUE(std::get<BuildOptions>(parse({"build", "--explain", "c"})).explain);
}

TEST(Options, EachCommandHasHelpThatNamesItsFlags) {
  auto const help = [](Words words) {
    return std::get<HelpOptions>(parse_command_line(std::move(words), surroundings())).text;
  };
  EXPECT_THAT(help({"build", "--help"}), HasSubstr("-t, --tag NAME"));
  EXPECT_THAT(help({"help", "build"}), HasSubstr("--oci-runtime PATH"));
  EXPECT_THAT(help({"build", "--help"}), HasSubstr("--timings"));
  EXPECT_THAT(help({"build", "-h"}), testing::Not(HasSubstr("--attest")));
  EXPECT_THAT(help({}), HasSubstr("doctor"));
  EXPECT_THAT(help({"prune", "--help"}), HasSubstr("--keep-duration"));
  EXPECT_THAT(help({"debug"}), HasSubstr("dump-llb"));
}

struct RefusedCase {
  const char* name;
  Words words;
  std::string message;
  ErrorKind kind = ErrorKind::kInvalidInput;
  bool terminal = false;
  friend void PrintTo(const RefusedCase& c, std::ostream* out) { *out << c.name; }
};

class OptionsRefused : public testing::TestWithParam<RefusedCase> {};

TEST_P(OptionsRefused, SaysWhy) {
  const RefusedCase& row = GetParam();
  try {
    (void)parse_command_line(row.words, surroundings({{"HOME", "/h"}}, row.terminal));
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), row.message);
    EXPECT_EQ(error.kind(), row.kind);
  }
}

constexpr auto kUnsupported = ErrorKind::kUnsupported;
constexpr auto kInvalid = ErrorKind::kInvalidInput;

INSTANTIATE_TEST_SUITE_P(
    Table, OptionsRefused,
    testing::Values(
        RefusedCase{"Flag",
                    {"build", "--buld-arg", "x", "."},
                    "unknown flag: --buld-arg (did you mean --build-arg?)"},
        RefusedCase{"FarFlag", {"build", "--frobnicate"}, "unknown flag: --frobnicate"},
        RefusedCase{"Letter", {"build", "-z", "."}, "unknown flag: -z"},
        RefusedCase{"Tag",
                    {"build", "-t", "a", "-t", "Bad", "."},
                    "invalid tag \"Bad\": invalid reference format: repository name (library/Bad) must be lowercase"},
        RefusedCase{
            "Command", {"biuld"}, "unknown command: biuld (did you mean build?); see cobuild help"},
        RefusedCase{"DebugCommand",
                    {"debug", "dump-lb"},
                    "unknown command: debug dump-lb (did you mean dump-llb?)"},
        RefusedCase{"SecretId", {"build", "--secret", "src=a", "."}, "secret missing ID: --secret src=a"},
        RefusedCase{"SecretKey", {"build", "--secret", "id=a,from=b", "."}, "unexpected key 'from' in 'from=b'"},
        RefusedCase{"SecretType", {"build", "--secret", "id=a,type=dir", "."}, "unsupported secret type \"dir\""},
        RefusedCase{
            "SecretField", {"build", "--secret", "a", "."}, "invalid field 'a' must be a key=value pair"},
        RefusedCase{"SecretQuote", {"build", "--secret", "\"id=a", "."},
                    "failed to parse csv secret: parse error on line 1, column 2: extraneous or missing \" in "
                    "quoted-field"},
        RefusedCase{"SshWithoutAgent",
                    {"build", "--ssh", "default", "."},
                    "invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set"},
        RefusedCase{"SshRaw",
                    {"build", "--ssh", "x=raw=true", "."},
                    "raw mode must supply exactly one socket path for \"x\""},
        RefusedCase{"SshRawValue", {"build", "--ssh", "x=/a,raw=yes", "."}, "invalid value for 'raw': yes"},
        RefusedCase{"Annotation",
                    {"build", "--annotation", "x", "."},
                    "invalid annotation \"x\", expected key=value"},
        RefusedCase{"AnnotationType",
                    {"build", "--annotation", "indx:a=b", "."},
                    "unknown annotation type \"indx\": use manifest, manifest-descriptor, index or "
                    "index-descriptor"},
        RefusedCase{"Call",
                    {"build", "--call", "chek", "."},
                    "invalid --call chek: use build, check, outline or targets (did you mean check?)"},
        RefusedCase{"Daemon",
                    {"--addr", "x", "build"},
                    "--addr is not needed: cobuild has no daemon to connect to",
                    kUnsupported},
        RefusedCase{"Provenance",
                    {"build", "--provenance=true", "."},
                    "--provenance is not supported yet",
                    kUnsupported},
        RefusedCase{
            "MissingValue", {"build", "--target"}, "flag needs an argument: --target STAGE"},
        RefusedCase{"Bool",
                    {"build", "--no-cache=maybe", "."},
                    "invalid value \"maybe\" for flag --no-cache: use true or false"},
        RefusedCase{"Progress", {"build", "--progress", "x", "."}, "invalid progress mode x"},
        RefusedCase{"Opt",
                    {"build", "--opt", "x", "."},
                    "invalid opt: invalid value \"x\", expected key=value"},
        RefusedCase{"Local",
                    {"build", "--local", "x", "."},
                    "invalid local: invalid value \"x\", expected key=value"},
        RefusedCase{"NoContext",
                    {"build", "-t", "x"},
                    "build needs a CONTEXT directory, for example: cobuild build -t NAME ."},
        RefusedCase{"Terminal",
                    {"build"},
                    "please specify --frontend or pipe LLB definition to stdin",
                    kInvalid,
                    true},
        RefusedCase{"TwoContexts",
                    {"build", "a", "b"},
                    "build takes one CONTEXT directory, but 2 were given: a b"},
        RefusedCase{"TwoStdout",
                    {"build", "-o", "type=oci", "-o", "-", "."},
                    "only one --output can go to standard output"},
        RefusedCase{"Entitlement", {"build", "--allow", "all", "."}, "unknown entitlement all"},
        RefusedCase{"Network",
                    {"build", "--network", "bridge", "."},
                    "invalid --network bridge: use default, none or host"},
        RefusedCase{"Size",
                    {"build", "--shm-size", "64q", "."},
                    "invalid --shm-size 64q: use a size such as 64m or 1g"},
        RefusedCase{"Duration",
                    {"prune", "--keep-duration", "soon"},
                    "invalid --keep-duration soon: use a duration such as 48h or 1h30m"},
        RefusedCase{
            "Snapshotter",
            {"--snapshotter", "overly", "du"},
            "invalid --snapshotter overly: use auto, overlay or native (did you mean overlay?)"},
        RefusedCase{"NegativeDuration",
                    {"prune", "--keep-duration=-1h"},
                    "invalid --keep-duration -1h: use a duration such as 48h or 1h30m"},
        RefusedCase{"CacheCommand",
                    {"cache", "verfy"},
                    "unknown command: cache verfy (did you mean verify?)"},
        RefusedCase{"CacheArgument",
                    {"cache", "verify", "x"},
                    "cache verify takes no arguments, but \"x\" was given"},
        RefusedCase{"DuArgument", {"du", "x"}, "du takes no arguments, but \"x\" was given"}),
    [](const auto& test) { return test.param.name; });

struct OutputCase {
  const char* name;
  std::string text;
  OutputOptions expected;
  std::string message;  ///< Not empty: it must be refused with this.
  bool terminal = false;
  friend void PrintTo(const OutputCase& c, std::ostream* out) { *out << c.name; }
};

/// F4.1.2, F4.1.3.
class OutputParse : public testing::TestWithParam<OutputCase> {};

TEST_P(OutputParse, Table) {  // F4.1.2, F4.1.3
  const OutputCase& row = GetParam();
  auto const around = surroundings({}, row.terminal);
  if (row.message.empty()) {
    EXPECT_EQ(parse_output(row.text, around), row.expected);
    return;
  }
  try {
    (void)parse_output(row.text, around);
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), row.message);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, OutputParse,
    testing::Values(
        OutputCase{"Path", "out", {"local", {}, "out", true}, ""},
        OutputCase{"Dash", "-", {"tar", {}, "-", false}, ""},
        OutputCase{"Oci", "type=oci,dest=a.tar", {"oci", {}, "a.tar", false}, ""},
        OutputCase{"OciStdout", "type=oci", {"oci", {}, "-", false}, ""},
        OutputCase{
            "LowerCase", "TYPE=docker,Name=A,DEST=x", {"docker", {{"name", "A"}}, "x", false}, ""},
        OutputCase{"OciDirectory",
                   "type=oci,tar=false,dest=d",
                   {"oci", {{"tar", "false"}}, "d", true},
                   ""},
        OutputCase{
            "Quoted", R"(type=oci,"name=a,b",dest=-)", {"oci", {{"name", "a,b"}}, "-", false}, ""},
        OutputCase{"QuotedQuote",
                   R"(type=oci,"name=a""b",dest=-)",
                   {"oci", {{"name", "a\"b"}}, "-", false},
                   ""},
        OutputCase{"Registry",
                   "type=registry,name=x",
                   {"image", {{"name", "x"}, {"push", "true"}}, "", false},
                   ""},
        OutputCase{"Spaces", "type=oci, dest=a.tar", {"oci", {}, "a.tar", false}, ""},
        OutputCase{"Stdout", "type=oci,dest=/dev/stdout", {"oci", {}, "-", false}, ""},
        OutputCase{"NoType", "dest=x", {}, "--output requires type=<type>"},
        OutputCase{"Empty", "", {}, "--output requires type=<type>"},
        OutputCase{"NoPair", "type=oci,foo", {}, "invalid value foo"},
        OutputCase{"OutputKey",
                   "type=oci,output=x",
                   {},
                   "output=x not supported for --output, you meant dest=x?"},
        OutputCase{
            "LocalWithoutDest",
            "type=local",
            {},
            "invalid output option: output: output directory is required for local exporter"},
        OutputCase{"Console",
                   "type=tar",
                   {},
                   "invalid output option: output: output file is required for tar exporter. "
                   "refusing to write to console",
                   true},
        OutputCase{"ImageDest",
                   "type=image,dest=x",
                   {},
                   "invalid output option: output: output x is not supported by image exporter"},
        OutputCase{"OpenQuote",
                   R"(type=oci,"name=a)",
                   {},
                   "--output type=oci,\"name=a: parse error on line 1, column 11: extraneous or missing \" in "
                   "quoted-field"},
        OutputCase{"StrayQuote",
                   R"(type=oci,name="a")",
                   {},
                   "--output type=oci,name=\"a\": parse error on line 1, column 15: bare \" in non-quoted field"}),
    [](const auto& test) { return test.param.name; });

TEST(Options, CommandsAboutImages) {
  auto const parse = [](Words words) { return parse_command_line(std::move(words), surroundings()); };
  auto const refused = [&](Words words) {
    try {
      (void)parse(std::move(words));
      return std::string("nothing is wrong");
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_TRUE(std::get<ImagesOptions>(parse({"images", "-q"})).quiet);
  EXPECT_EQ(std::get<InspectOptions>(parse({"inspect", "--raw", "a"})).what,
            InspectOptions::What::kManifest);
  EXPECT_EQ(std::get<PullOptions>(parse({"pull", "-q", "a"})).progress, ProgressMode::kQuiet);
  auto const push = std::get<PushCommandOptions>(parse({"push", "a", "r.io/b:1"}));
  EXPECT_EQ(push.name + " " + push.destination, "a r.io/b:1");
  EXPECT_EQ(std::get<PushCommandOptions>(parse({"push", "a"})).destination, "a");

  EXPECT_THAT(refused({"images", "a"}), HasSubstr("images takes no arguments"));
  EXPECT_THAT(refused({"inspect"}), HasSubstr("usage: cobuild inspect"));
  EXPECT_THAT(refused({"inspect", "--raw", "--config", "a"}), HasSubstr("exclude each other"));
  EXPECT_THAT(refused({"inspect", "--raw", "--referrers", "a"}), HasSubstr("exclude each other"));
  EXPECT_THAT(refused({"inspect", "--json", "a"}), HasSubstr("are for --referrers"));
  EXPECT_THAT(refused({"inspect", "--artifact-type", "x", "a"}), HasSubstr("are for --referrers"));
  auto const referrers = std::get<InspectOptions>(
      parse({"inspect", "--referrers", "--json", "--artifact-type", "x/y", "a"}));
  EXPECT_EQ(referrers.what, InspectOptions::What::kReferrers);
  EXPECT_EQ(referrers.artifact_type, "x/y");
  EXPECT_TRUE(referrers.json);
  EXPECT_THAT(refused({"push", "a", "b", "c"}), HasSubstr("usage: cobuild push NAME"));
  EXPECT_THAT(refused({"push", "A:B:C"}), HasSubstr("failed to parse A:B:C"));
  EXPECT_THAT(refused({"pull", "--platform", "x/y/z/w", "a"}), HasSubstr("x/y/z/w"));
}

// F5.2.1, F5.2.4.
TEST(Options, CachesInBothSpellings) {
  auto const build = parse_build({"--cache-from", "a,b", "--cache-from", "type=local,SRC=/c", "--import-cache",
                                  "type=registry,ref=a,registry.insecure=true", "--cache-to",
                                  "type=registry,ref=d,mode=max", "--export-cache", "type=inline",
                                  "--cache-to", "type=inline", "--opt", "cache-from=e", "--opt",
                                  R"(cache-imports=[{"Type":"local","Attrs":{"src":"/f"}}])", "."});
  auto const text = [](const std::vector<CacheOptions>& caches) {
    std::vector<std::string> lines;
    for (const CacheOptions& cache : caches) {
      std::string line = cache.type;
      for (const auto& [key, value] : cache.attributes) line += " " + key + "=" + value;
      lines.push_back(line);
    }
    return lines;
  };
  EXPECT_THAT(text(build.cache_exports), ElementsAre("inline", "registry mode=max ref=d"));
  EXPECT_THAT(text(build.cache_imports),
              ElementsAre("registry ref=a registry.insecure=true", "registry ref=a", "registry ref=b",
                          "local src=/c", "local src=/f", "registry ref=e"));
  EXPECT_FALSE(build.frontend_options.contains("cache-from"));
  EXPECT_THAT(build.global.insecure_registries, ElementsAre("docker.io"));
  auto const complaint = [](Words words) {
    try {
      (void)parse_build(std::move(words));
      return std::string("nothing is wrong");
    } catch (const Error& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(complaint({"--cache-to", "mode=max", "."}), "--cache-to requires type=<type>");
  EXPECT_EQ(complaint({"--cache-to", "type=local,dest", "."}), "invalid value dest");
  EXPECT_THAT(complaint({"--opt", "cache-imports=[{}]", "."}), HasSubstr("failed to unmarshal cache-imports"));
}

}  // namespace
}  // namespace cobuild::cli
