#include "dockerfile/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convert.hpp"

namespace cobuild::dockerfile {
namespace {

FrontendOptions read(const std::map<std::string, std::string>& options) {
  return parse_frontend_options(options, test_platform());
}

// F1.11.2, F1.11.5, F1.11.6, F1.11.15, F1.11.22
TEST(Options, AllKeys) {
  auto const options = read({{"filename", "d/D"}, {"target", "t"}, {"platform", "linux/arm64,linux/arm/v7"},
                             {"build-arg:A", "1"}, {"label:L", "2"}, {"no-cache", "a,b"}, {"add-hosts", "X=1.2.3.4,y=::FFFF:1.2.3.4"},
                             {"hostname", "h"}, {"build-arg:BUILDKIT_SANDBOX_HOSTNAME", "s"}, {"shm-size", "9"},
                             {"ulimit", "nofile=1:2,core=3"}, {"force-network-mode", "none"}, {"cpuset-unknown", ""},
                             {"memory", "5"}, {"memswap", "-1"}, {"image-resolve-mode", "local"}});
  const ConvertOptions& convert = options.convert;
  EXPECT_EQ(convert.filename, "d/D");
  EXPECT_EQ(convert.build_args.at("A"), "1");
  EXPECT_EQ(convert.labels.at("L"), "2");
  EXPECT_EQ(convert.no_cache_stages, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(convert.hostname, "s");
  EXPECT_EQ(convert.shm_size_bytes, 9);
  EXPECT_EQ(convert.extra_hosts[0].host(), "x");
  EXPECT_EQ(convert.extra_hosts[1].ip(), "1.2.3.4");
  EXPECT_EQ(convert.ulimits[1].hard(), 3);
  EXPECT_EQ(convert.network, pb::NONE);
  EXPECT_EQ(convert.linux_resources->memoryswap(), -1);
  EXPECT_EQ(convert.image_resolve_mode, ImageResolveMode::kLocal);
  EXPECT_TRUE(convert.multi_platform);
  ASSERT_EQ(options.target_platforms.size(), 2U);
  EXPECT_EQ(format_platform(options.target_platforms[1]), "linux/arm/v7");
  EXPECT_TRUE(read({{"no-cache", ""}}).convert.no_cache_stages->empty());
  EXPECT_FALSE(read({}).convert.no_cache_stages.has_value());
}

struct Row {
  const char* key;
  const char* value;
  const char* message;
};

class OptionErrorTest : public testing::TestWithParam<Row> {};

TEST_P(OptionErrorTest, Says) {
  try {
    (void)read({{GetParam().key, GetParam().value}});
    FAIL() << GetParam().key;
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::StartsWith(GetParam().message));
  }
}

INSTANTIATE_TEST_SUITE_P(All, OptionErrorTest, testing::Values(
    Row{"build-arg:A", "\xFF", "the option build-arg:A is not valid UTF-8"},
    Row{"image-resolve-mode", "x", "invalid image-resolve-mode: x"},
    Row{"add-hosts", "x=y", "failed to parse additional hosts: failed to parse IP y"},
    Row{"add-hosts", "x", "failed to parse additional hosts: invalid key-value pair x"},
    Row{"force-network-mode", "x", "invalid netmode x"},
    Row{"shm-size", "x", "failed to parse shm size: "},
    Row{"ulimit", "x=1", "failed to parse ulimit: invalid ulimit type: x"},
    Row{"ulimit", "core=2:1", "failed to parse ulimit: ulimit soft limit must be less than or equal to hard limit: 2 > 1"},
    Row{"memory", "0", "failed to parse resource limits: invalid memory value: 0: must be > 0"},
    Row{"memswap", "0", "failed to parse resource limits: invalid memswap value: 0: must be -1 (unlimited) or > 0"},
    Row{"cpuperiod", "-1", "failed to parse resource limits: invalid cpuperiod value: -1: strconv.ParseUint: "},
    Row{"frontend.caps",  // F1.11.29
        "moby.buildkit.frontend.contexts,x+forward", "unsupported frontend capability x"},
    Row{"attest:sbom", "", "the option attest:sbom= is not supported yet"},  // F1.11.25
    Row{"build-arg:BUILDKIT_ATTEST_PROVENANCE", "mode=max",  // F1.5.23
        "the option build-arg:BUILDKIT_ATTEST_PROVENANCE=mode=max is not supported yet"},
    Row{"cache-imports", "[]", "the option cache-imports=[] is not supported yet"},  // F1.11.23
    Row{"cache-from", "a", "the option cache-from=a is not supported yet"},          // F1.11.24
    Row{"cpusetcpus", "3-1", "failed to parse resource limits: invalid cpusetcpus value: 3-1: invalid cpuset range \"3-1\""},
    Row{"platform", "a/b/c/d", "failed to parse target platform a/b/c/d: "},
    Row{"multi-platform", "x",  // F1.11.4
        "invalid boolean value for multi-platform: x"},
    Row{"build-arg:BUILDKIT_DISABLE_FILEOP", "true",  // F1.5.24
        "support for \"BUILDKIT_DISABLE_FILEOP\" build-arg was removed in BuildKit 0.11"},
    Row{"override-copy-image", "x", "support for \"override-copy-image\" was removed in BuildKit 0.11"}));

}  // namespace
}  // namespace cobuild::dockerfile
