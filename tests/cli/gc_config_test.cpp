#include "cli/gc_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>

#include "core/base/error.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::cli {
namespace {

using namespace std::chrono_literals;
using store::DiskSpace;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class GcConfigTest : public testing::Test {
 protected:
  [[nodiscard]] store::GcConfig read(const std::string& text) const {
    std::ofstream(file) << text;
    return read_gc_config(file);
  }

  TempDir directory = TempDir::create(std::filesystem::temp_directory_path(), "cobuild-gc-");
  std::filesystem::path file = directory.path() / "buildkitd.toml";
};

TEST_F(GcConfigTest, WithoutAWordTheDefaultsHold) {
  for (const store::GcConfig& config : {read_gc_config(std::nullopt), read("debug = true\n"),
                                        read("[worker.oci]\nrootless = true\n")}) {
    EXPECT_TRUE(config.enabled);
    EXPECT_THAT(config.rules, IsEmpty());
    EXPECT_FALSE(config.reserved.is_set() || config.max_used.is_set() || config.min_free.is_set());
  }
}

TEST_F(GcConfigTest, ReadsTheWorkersKeys) {  // F5.5.11
  store::GcConfig const config = read(
      "[worker.oci]\ngc = false\nreservedSpace = \"10%\"\nmaxUsedSpace = \"512MB\"\n"
      "minFreeSpace = 20000000000\n[worker.containerd]\ngc = 3\n");
  EXPECT_FALSE(config.enabled);
  EXPECT_EQ(config.reserved, (DiskSpace{.bytes = 0, .percent = 10}));
  EXPECT_EQ(config.max_used, (DiskSpace{.bytes = std::int64_t{512} << 20, .percent = 0}));
  EXPECT_EQ(config.min_free, (DiskSpace{.bytes = 20'000'000'000, .percent = 0}));
}

TEST_F(GcConfigTest, AnOlderWordIsForTheReserve) {
  EXPECT_EQ(read("[worker.oci]\ngckeepstorage = 9000\n").reserved, (DiskSpace{9000, 0}));
  store::GcConfig const both = read("[worker.oci]\ngckeepstorage = 9000\nMaxUsedSpace = 1\n");
  EXPECT_FALSE(both.reserved.is_set());
  EXPECT_EQ(both.max_used.bytes, 1) << "keys in any case";
}

TEST_F(GcConfigTest, ReadsRules) {  // F5.5.11
  store::GcConfig const config = read(
      "[worker.oci]\n"
      "[[worker.oci.gcpolicy]]\nfilters = [\"type==source.local\", \"type==exec.cachemount\"]\n"
      "keepDuration = \"48h\"\nkeepBytes = \"1GB\"\n"
      "[[worker.oci.gcpolicy]]\nall = true\nkeepDuration = 172800\nkeepBytes = 1\n"
      "reservedSpace = \"2kb\"\nmaxUsedSpace = \"80%\"\nminFreeSpace = \"\"\n");
  ASSERT_EQ(config.rules.size(), 2U);
  EXPECT_THAT(config.rules[0].filters, ElementsAre("type==source.local", "type==exec.cachemount"));
  EXPECT_FALSE(config.rules[0].all);
  EXPECT_EQ(config.rules[0].keep_duration, 48h);
  EXPECT_EQ(config.rules[0].reserved.bytes, std::int64_t{1} << 30);
  EXPECT_EQ(config.rules[1], (store::GcRule{.all = true,
                                            .filters = {},
                                            .keep_duration = 48h,
                                            .reserved = {2048, 0},
                                            .max_used = {0, 80},
                                            .min_free = {}}));
}

struct BadConfig {
  const char* name;
  const char* text;
  const char* says;
};

class BadGcConfig : public GcConfigTest, public testing::WithParamInterface<BadConfig> {};

TEST_P(BadGcConfig, IsRefusedWithItsPlace) {
  try {
    (void)read(GetParam().text);
    FAIL() << "took " << GetParam().text;
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidInput);
    EXPECT_THAT(e.what(), HasSubstr(file.string() + ":"));
    EXPECT_THAT(e.what(), HasSubstr(GetParam().says));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadGcConfig,
    testing::Values(
        BadConfig{"Syntax", "[worker\n", ":1: "},
        BadConfig{"Worker", "worker = 3\n", ":1: worker must be a table"},
        BadConfig{"Flag", "[worker.oci]\ngc = 1\n", ":2: worker.oci.gc must be true or false"},
        BadConfig{"Unit", "[worker.oci]\nmaxUsedSpace = \"5 parsecs\"\n",
                  "worker.oci.maxUsedSpace must be a number of bytes, \"512MB\" or \"10%\""},
        BadConfig{"Share", "[worker.oci]\nminFreeSpace = \"120%\"\n",
                  "worker.oci.minFreeSpace must"},
        BadConfig{"Negative", "[worker.oci]\nminFreeSpace = -1\n", "worker.oci.minFreeSpace must"},
        BadConfig{"List", "[worker.oci]\nminFreeSpace = [1]\n", "worker.oci.minFreeSpace must"},
        BadConfig{"Policy", "[worker.oci]\ngcpolicy = 1\n", "worker.oci.gcpolicy must be a list"},
        BadConfig{"Duration", "[[worker.oci.gcpolicy]]\nkeepDuration = \"soon\"\n",
                  ":2: worker.oci.gcpolicy.keepDuration must be a duration"},
        BadConfig{"NegativeDuration", "[[worker.oci.gcpolicy]]\nkeepDuration = -3\n",
                  "keepDuration must be a duration"},
        BadConfig{"Filters", "[[worker.oci.gcpolicy]]\nfilters = [1]\n",
                  "must be a list of strings"},
        BadConfig{"Filter", "[[worker.oci.gcpolicy]]\nfilters = [\"id=\"]\n",
                  "failed to parse gc filters"}),
    [](const auto& test) { return test.param.name; });

TEST_F(GcConfigTest, AMissingFileIsAnError) {
  EXPECT_THROW((void)read_gc_config(directory.path() / "none.toml"), Error);
}

}  // namespace
}  // namespace cobuild::cli
