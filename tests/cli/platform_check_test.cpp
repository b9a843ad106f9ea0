/// What is said when an image is not for the platform that was asked for (F4.1.7).

#include "cli/platform_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cobuild::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<oci::Platform> built(const std::vector<std::string>& names) {
  std::vector<oci::Platform> platforms;
  for (const std::string& name : names) platforms.push_back(oci::parse_platform(name));
  return platforms;
}

TEST(PlatformCheck, WhatWasAskedForIsFine) {
  EXPECT_THAT(platform_warnings("", {oci::host_platform()}, false), IsEmpty());
  EXPECT_THAT(platform_warnings("linux/arm64/v8", built({"linux/arm64"}), false), IsEmpty());
  EXPECT_THAT(
      platform_warnings("linux/arm64,linux/amd64", built({"linux/amd64", "linux/arm64"}), true),
      IsEmpty());
}

TEST(PlatformCheck, AVersionThatNobodyAskedForIsFine) {
  std::vector<oci::Platform> windows = built({"windows/amd64"});
  windows[0].os_version = "10.0.1";
  EXPECT_THAT(platform_warnings("windows/amd64", windows, false), IsEmpty());
}

TEST(PlatformCheck, OneForAnother) {
  EXPECT_THAT(platform_warnings("linux/amd64", built({"linux/arm64"}), false),
              ElementsAre("Requested platform \"linux/amd64\" does not match result platform "
                          "\"linux/arm64\""));
}

TEST(PlatformCheck, OneForSeveral) {
  EXPECT_THAT(platform_warnings("linux/amd64,linux/arm64", built({"linux/amd64"}), false),
              ElementsAre("Multiple platforms requested but result is not multi-platform"));
}

TEST(PlatformCheck, SeveralOthers) {
  EXPECT_THAT(
      platform_warnings("linux/amd64,linux/arm64", built({"linux/amd64", "linux/s390x"}), true),
      ElementsAre("Requested platforms linux/amd64,linux/arm64 do not match result platforms "
                  "linux/amd64,linux/s390x"));
}

TEST(PlatformCheck, TwiceOrWrong) {
  EXPECT_THAT(platform_warnings("linux/amd64,linux/x86_64", built({"linux/amd64"}), true),
              ElementsAre("Duplicate platform result requested \"linux/x86_64\""));
  EXPECT_THAT(platform_warnings("a/b/c/d/e", built({"linux/amd64"}), false),
              ElementsAre(HasSubstr("Invalid platform result requested \"a/b/c/d/e\": ")));
}

}  // namespace
}  // namespace cobuild::cli
