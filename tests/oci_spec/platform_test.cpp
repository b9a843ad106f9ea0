#include "oci/spec/platform.hpp"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "oci/spec/descriptor.hpp"

namespace cobuild::oci {
namespace {

struct ParseCase {
  const char* name;
  std::string text;
  std::string formatted;
  std::string normalized;

  friend void PrintTo(const ParseCase& c, std::ostream* out) { *out << '\'' << c.text << '\''; }
};

class PlatformParse : public testing::TestWithParam<ParseCase> {};

TEST_P(PlatformParse, FormatsAndNormalizes) {
  Platform const platform = parse_platform(GetParam().text);
  EXPECT_EQ(format_platform_all(platform), GetParam().formatted);
  Platform const normal = normalize_platform(platform);
  EXPECT_EQ(format_platform_all(normal), GetParam().normalized);
  EXPECT_EQ(normalize_platform(normal), normal);
  EXPECT_EQ(normalize_platform(parse_platform(format_platform_all(platform))), normal);
}

INSTANTIATE_TEST_SUITE_P(
    Table, PlatformParse,
    testing::Values(ParseCase{"Amd64", "linux/amd64", "linux/amd64", "linux/amd64"},
                    ParseCase{"Alias", "linux/x86_64", "linux/amd64", "linux/amd64"},
                    ParseCase{"Upper", "Linux/ARM64", "linux/arm64", "linux/arm64"},
                    ParseCase{"OnlyArchitecture", "arm64", "linux/arm64", "linux/arm64"},
                    ParseCase{"Aarch64", "aarch64", "linux/arm64", "linux/arm64"},
                    ParseCase{"Arm", "linux/arm", "linux/arm", "linux/arm/v7"},
                    ParseCase{"ArmV7", "linux/arm/v7", "linux/arm/v7", "linux/arm/v7"},
                    ParseCase{"Arm6", "linux/arm/6", "linux/arm/v6", "linux/arm/v6"},
                    ParseCase{"Armhf", "armhf", "linux/arm", "linux/arm/v7"},
                    ParseCase{"Armel", "armel", "linux/arm/v6", "linux/arm/v6"},
                    ParseCase{"Arm64V8", "linux/arm64/v8", "linux/arm64/v8", "linux/arm64"},
                    ParseCase{"Amd64V2", "linux/amd64/v2", "linux/amd64/v2", "linux/amd64/v2"},
                    ParseCase{"Macos", "macos/arm64", "darwin/arm64", "darwin/arm64"},
                    ParseCase{"Version", "windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64",
                              "windows(10.0.17763)/amd64"},
                    ParseCase{"Features", "linux(+b+a)/amd64", "linux(+a+b)/amd64",
                              "linux(+a+b)/amd64"}),
    [](const auto& test) { return test.param.name; });

TEST(PlatformParse, LoneOsTakesTheHostsArchitecture) {
  EXPECT_EQ(parse_platform("linux").architecture, host_platform().architecture);
}

struct RejectCase {
  const char* name;
  std::string text;
  std::string why;
};

class PlatformReject : public testing::TestWithParam<RejectCase> {};

TEST_P(PlatformReject, SaysWhyInContainerdsWords) {
  try {
    (void)parse_platform(GetParam().text);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidInput);
    EXPECT_EQ(std::string(e.what()), GetParam().why);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, PlatformReject,
    testing::Values(
        RejectCase{"Wildcard", "linux/*",
                   "\"linux/*\": wildcards not yet supported: invalid argument"},
        RejectCase{"Unknown", "foo",
                   "\"foo\": unknown operating system or architecture: invalid argument"},
        RejectCase{"TooMany", "a/b/c/d",
                   "\"a/b/c/d\": cannot parse platform specifier: invalid argument"},
        RejectCase{
            "BadPart", "linux/&",
            "\"&\" is an invalid component of \"linux/&\": platform specifier component must "
            "match \"^[A-Za-z0-9_.-]+$\": invalid argument"}),
    [](const auto& test) { return test.param.name; });

struct RunsCase {
  const char* name;
  std::string offered;
  std::string wanted;
  bool runs;
};

class PlatformRuns : public testing::TestWithParam<RunsCase> {};

TEST_P(PlatformRuns, AsContainerdDecides) {
  EXPECT_EQ(platform_runs(parse_platform(GetParam().offered), parse_platform(GetParam().wanted)),
            GetParam().runs);
}

INSTANTIATE_TEST_SUITE_P(
    Table, PlatformRuns,
    testing::Values(RunsCase{"Same", "linux/amd64", "linux/amd64", true},
                    RunsCase{"OlderX86", "linux/386", "linux/amd64", true},
                    RunsCase{"NewerX86", "linux/amd64", "linux/386", false},
                    RunsCase{"V2OnV3", "linux/amd64/v2", "linux/amd64/v3", true},
                    RunsCase{"PlainOnV3", "linux/amd64", "linux/amd64/v3", true},
                    RunsCase{"V2OnPlain", "linux/amd64/v2", "linux/amd64", false},
                    RunsCase{"Arm6On7", "linux/arm/v6", "linux/arm/v7", true},
                    RunsCase{"Arm7On6", "linux/arm/v7", "linux/arm/v6", false},
                    RunsCase{"ArmOnArm64", "linux/arm/v7", "linux/arm64", true},
                    RunsCase{"Arm81OnArm64", "linux/arm64/v8.1", "linux/arm64", false},
                    RunsCase{"Arm8On82", "linux/arm64/v8", "linux/arm64/v8.2", true},
                    RunsCase{"Arm85OnArm9", "linux/arm64/v8.5", "linux/arm64/v9", true},
                    RunsCase{"Arm86OnArm9", "linux/arm64/v8.6", "linux/arm64/v9", false},
                    RunsCase{"OtherOs", "windows/amd64", "linux/amd64", false},
                    RunsCase{"FeatureNotAsked", "linux(+x)/amd64", "linux/amd64", false},
                    RunsCase{"FeatureAsked", "linux(+x)/amd64", "linux(+x+y)/amd64", true}),
    [](const auto& test) { return test.param.name; });

Descriptor entry(const std::string& platform) {
  Descriptor descriptor{.media_type = "m",
                        .digest = BlobDigest(Digest::of(platform)),
                        .size = 1,
                        .urls = {},
                        .annotations = {},
                        .platform = {},
                        .artifact_type = {},
                        .data = {}};
  if (platform == "unknown") {
    descriptor.platform = Platform{"unknown", "unknown", "", "", {}};
  } else if (platform != "none") {
    descriptor.platform = parse_platform(platform);
  }
  return descriptor;
}

TEST(ChoosePlatform, RanksBestFirstAndThoseWithoutPlatformLast) {
  std::vector<Descriptor> const index = {entry("none"),        entry("unknown"),
                                         entry("linux/386"),   entry("linux/arm64"),
                                         entry("linux/amd64"), entry("linux/amd64/v2")};
  auto ranked = [&](const std::string& wanted) {
    std::vector<std::size_t> places;
    for (const Descriptor* d : rank_for_platform(index, parse_platform(wanted))) {
      places.push_back(static_cast<std::size_t>(d - index.data()));
    }
    return places;
  };
  EXPECT_EQ(ranked("linux/amd64"), (std::vector<std::size_t>{4, 2, 0}));
  EXPECT_EQ(ranked("linux/amd64/v3"), (std::vector<std::size_t>{5, 4, 2, 0}));
  EXPECT_EQ(ranked("linux/s390x"), (std::vector<std::size_t>{0}));
}

TEST(ChoosePlatform, TakesTheFirstOfEqualsAndNothingWithoutMatch) {
  std::vector<Descriptor> const index = {entry("linux/arm64"), entry("linux/arm64/v8")};
  EXPECT_EQ(choose_platform(index, parse_platform("linux/arm64")), index.data());
  EXPECT_EQ(choose_platform(index, parse_platform("linux/amd64")), nullptr);
}

}  // namespace
}  // namespace cobuild::oci
