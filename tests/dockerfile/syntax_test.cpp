#include "dockerfile/syntax.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cobuild::dockerfile {
namespace {

using testing::HasSubstr;

TEST(SyntaxTest, BuiltInAreTheDockerfileImagesUpToOurVersion) {
  for (const char* image :
       {"docker/dockerfile", "docker/dockerfile:1", "docker/dockerfile:1.0", "docker/dockerfile:1.26",
        "docker/dockerfile:1.7.1", "docker/dockerfile:1-labs", "docker/dockerfile:1.7-labs",
        "docker/dockerfile:labs", "docker/dockerfile:latest", "docker/dockerfile:1.0-experimental",
        "docker.io/docker/dockerfile:1.4", "docker/dockerfile-upstream:master",
        "docker/dockerfile-upstream:master-labs", "docker/dockerfile:1.10.0-rc1",
        "docker/dockerfile:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "docker/dockerfile@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    EXPECT_TRUE(is_built_in(image)) << image;
  }
  for (const char* image : {"docker/dockerfile:2", "docker/dockerfile:1.27", "docker/dockerfile:1.x",
                            "docker/dockerfile:1.2.3.4", "docker/dockerfilex", "example.com/docker/dockerfile:1",
                            "tonistiigi/dockerfile:1", "docker/Dockerfile:1", "", "docker/dockerfile:"}) {
    EXPECT_FALSE(is_built_in(image)) << image;
  }
}

TEST(SyntaxTest, TheBuildArgumentIsStronger) {  // F1.1.4, F1.5.16
  std::string const text = "#!/bin/x\n# syntax=a/b:1 more words\nFROM scratch\n";
  auto const written = wanted_frontend(text, {});
  ASSERT_TRUE(written.has_value());
  EXPECT_EQ(written->image, "a/b:1");
  EXPECT_EQ(written->lines, (LineRange{2, 2}));
  auto const given = wanted_frontend(text, {{"BUILDKIT_SYNTAX", "c/d x"}});
  ASSERT_TRUE(given.has_value());
  EXPECT_EQ(given->image, "c/d");
  EXPECT_EQ(given->lines, LineRange{});
  EXPECT_EQ(wanted_frontend("FROM scratch", {{"BUILDKIT_SYNTAX", ""}}), std::nullopt);
}

TEST(SyntaxTest, RefusalsSayWhatIsBuiltIn) {
  EXPECT_THAT(refusal_of({"x/y", {1, 1}}), HasSubstr("# syntax=x/y: image frontends are not supported yet"));
  EXPECT_THAT(refusal_of({"docker/dockerfile:2", {1, 1}}), HasSubstr("use docker/dockerfile:1"));
  EXPECT_THAT(refusal_of({"x/y", {}}), HasSubstr("BUILDKIT_SYNTAX=x/y"));
}

}  // namespace
}  // namespace cobuild::dockerfile
