// Where contexts come from, as the command line says it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/options.hpp"
#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using Words = std::vector<std::string>;

BuildOptions parse_build(Words words) {
  Surroundings around;
  around.environment = [](std::string_view name) -> std::optional<std::string> {
    return name == "HOME" ? std::optional<std::string>("/home/u") : std::nullopt;
  };
  words.insert(words.begin(), "build");
  return std::get<BuildOptions>(parse_command_line(std::move(words), around));
}

std::string error_of(Words words) {
  try {
    (void)parse_build(std::move(words));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(ContextOptions, RepositoriesAndUrlsAreRemote) {  // F10.104
  for (const char* context : {"https://h/r.git#main:sub", "http://h/x.tar", "git@h:o/r.git", "ssh://git@h/r",
                              "git://h/r"}) {
    auto const build = parse_build({context});
    EXPECT_THAT(build.locals, IsEmpty()) << context;
    EXPECT_THAT(build.frontend_options, ElementsAre(Pair("context", context)));
  }
  EXPECT_THAT(parse_build({"./git@h"}).locals, ElementsAre(Pair("context", "./git@h"), Pair("dockerfile", "./git@h")));
}

TEST(ContextOptions, TheDockerfileOfARemoteContextIsInIt) {
  auto const inside = parse_build({"-f", "sub/Other", "https://h/r.git"});
  EXPECT_EQ(inside.frontend_options.at("filename"), "sub/Other");
  EXPECT_THAT(inside.locals, IsEmpty());
  auto const own = parse_build({"-f", "/my/Dockerfile", "https://h/r.git"});
  EXPECT_THAT(own.locals, ElementsAre(Pair("dockerfile", "/my")));
  EXPECT_EQ(own.frontend_options.at("dockerfilekey"), "dockerfile");
  auto const piped = parse_build({"-f", "-", "https://h/r.git"});
  EXPECT_TRUE(piped.dockerfile_from_stdin);
  EXPECT_EQ(piped.frontend_options.at("dockerfilekey"), "dockerfile");
}

TEST(ContextOptions, ADockerfileMayBeDownloaded) {
  for (const char* context : {".", "-", "https://h/r.git"}) {
    auto const build = parse_build({"-f", "https://h/d/Dockerfile", context});
    EXPECT_EQ(build.dockerfile_url, "https://h/d/Dockerfile") << context;
    EXPECT_FALSE(build.locals.contains("dockerfile")) << context;
    EXPECT_FALSE(build.frontend_options.contains("filename")) << context;
  }
  EXPECT_EQ(parse_build({"-f", "https://h/d", "https://h/r.git"}).frontend_options.at("dockerfilekey"), "dockerfile");
  EXPECT_THAT(error_of({"-f", "ftp://h/Dockerfile", "."}), HasSubstr("of URLs only those of http and https"));
}

TEST(ContextOptions, StandardInputIsOneThing) {
  auto const build = parse_build({"-f", "sub/Other", "-"});
  EXPECT_TRUE(build.context_from_stdin);
  EXPECT_THAT(build.locals, IsEmpty());
  EXPECT_EQ(build.frontend_options.at("filename"), "sub/Other");
  EXPECT_EQ(error_of({"-f", "-", "-"}), "invalid argument: can't use stdin for both build context and dockerfile");
}

TEST(ContextOptions, NamedOnesAreOfAllKinds) {
  auto const build = parse_build({"--build-context", "a=../dir", "--build-context", "b=https://h/r.git",
                                  "--build-context", "c=git@h:r", "--build-context", "d=target:stage",
                                  "--build-context", "e=docker-image://alpine", "--build-context", "context=dir", "."});
  const auto& options = build.frontend_options;
  EXPECT_EQ(options.at("context:a"), "local:a");
  EXPECT_EQ(build.locals.at("a"), "../dir");
  EXPECT_EQ(options.at("context:b"), "https://h/r.git");
  EXPECT_EQ(options.at("context:c"), "git@h:r");
  EXPECT_EQ(options.at("context:d"), "target:stage");
  EXPECT_EQ(options.at("context:e"), "docker-image://alpine");
  EXPECT_EQ(options.at("context:context"), "local:_context");
  EXPECT_EQ(build.locals.at("context"), ".");
}

TEST(ContextOptions, LayoutsAreNamedByTagOrDigest) {
  auto const build = parse_build({"--build-context", "a/b::linux/amd64=oci-layout://dir:v1", "--build-context",
                                  "c=oci-layout:///x.y/z@sha256:00", "--build-context", "d=oci-layout://dir", "."});
  EXPECT_EQ(build.frontend_options.at("context:a/b::linux/amd64"), "oci-layout://a-b--linux-amd64:v1");
  EXPECT_EQ(build.oci_layouts.at("a-b--linux-amd64"), "dir");
  EXPECT_EQ(build.frontend_options.at("context:c"), "oci-layout://c@sha256:00");
  EXPECT_EQ(build.oci_layouts.at("c"), "/x.y/z");
  EXPECT_THAT(build.layout_contexts, ElementsAre("context:a/b::linux/amd64", "context:d"));
}

TEST(ContextOptions, NamesAreNeeded) {
  EXPECT_THAT(error_of({"--build-context", "dir", "."}), HasSubstr("expected key=value"));
}

}  // namespace
}  // namespace cobuild::cli
