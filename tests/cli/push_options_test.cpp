/// The keys of `--output type=image` (F4.2).

#include "cli/push_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Attributes = std::map<std::string, std::string>;

PushOptions parse(Attributes attributes) {
  return parse_push_options(
      {.type = "image", .attributes = std::move(attributes), .destination = {}, .directory = false});
}

/// What is said of the options; empty when all is well.
std::string complaint(Attributes attributes) {
  try {
    check_push_options(parse(std::move(attributes)));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInvalidInput);
    return error.what();
  }
  return {};
}

const BlobDigest kRoot(Digest::of(std::string_view("root")));

TEST(PushOptions, DefaultsAreOff) {
  PushOptions const options = parse({});
  EXPECT_FALSE(options.push || options.by_digest || options.insecure || options.unpack);
  EXPECT_THAT(image_names(options, kRoot), ElementsAre());
  EXPECT_EQ(complaint({}), "");
}

TEST(PushOptions, NamesStayAsWritten) {
  PushOptions const options = parse({{"name", "a,localhost:5000/b:1"}});
  EXPECT_THAT(options.names, ElementsAre("a", "localhost:5000/b:1"));
  EXPECT_EQ(join_names(options.names), "a,localhost:5000/b:1");
}

TEST(PushOptions, AnEmptyValueIsTrue) {  // F4.2.2, F4.2.3, F4.2.4
  PushOptions const options = parse({{"push", ""}, {"push-by-digest", ""}, {"registry.insecure", ""}});
  EXPECT_TRUE(options.push && options.by_digest && options.insecure);
}

/// F4.2.1.
TEST(PushOptions, AStarIsTheNameOfTheResult) {
  EXPECT_THAT(parse({{"name", "*"}, {"image.name", "a:1,b"}}).names, ElementsAre("a:1", "b"));
  EXPECT_THAT(parse({{"name", "c"}, {"image.name", "a"}}).names, ElementsAre("c"));
  EXPECT_THAT(complaint({{"name", "*"}}), HasSubstr("failed to parse *"));
}

/// F4.2.6.
TEST(PushOptions, DanglingNames) {
  std::string const dangling = "d@" + kRoot.to_string();
  EXPECT_THAT(image_names(parse({{"dangling-name-prefix", "d"}}), kRoot), ElementsAre(dangling));
  EXPECT_THAT(image_names(parse({{"name", "a"}, {"dangling-name-prefix", "d"}}), kRoot),
              ElementsAre("a", dangling));
  EXPECT_THAT(image_names(parse({{"name", "a"},
                                 {"dangling-name-prefix", "d"},
                                 {"danging-name-empty-only", "true"}}),
                          kRoot),
              ElementsAre("a"));
}

TEST(PushOptions, WrongValues) {
  for (const char* key : {"push", "push-by-digest", "registry.insecure", "unpack", "store",
                          "name-canonical", "danging-name-empty-only"}) {
    EXPECT_EQ(complaint({{key, "maybe"}}),
              "non-bool value specified for " + std::string(key) +
                  ": strconv.ParseBool: parsing \"maybe\": invalid syntax");
  }
  EXPECT_THAT(complaint({{"name", "a,B"}}), HasSubstr("failed to parse B"));
  EXPECT_THAT(complaint({{"name", "a,"}}), HasSubstr("failed to parse"));
  EXPECT_THAT(complaint({{"dangling-name-prefix", "B"}}), HasSubstr("failed to parse B"));
}

/// F4.2.3.
TEST(PushOptions, WhatCannotBePushed) {
  EXPECT_THAT(complaint({{"push", "true"}}), HasSubstr("a name is needed"));
  EXPECT_EQ(complaint({{"push", "true"}, {"name", "a:1"}}), "");
  EXPECT_EQ(complaint({{"push", "true"}, {"push-by-digest", "true"}, {"name", "r:5000/a"}}), "");
  EXPECT_THAT(complaint({{"push", "true"}, {"push-by-digest", "true"}, {"name", "a:latest"}}),
              HasSubstr("can't push tagged ref docker.io/library/a:latest by digest"));
}

}  // namespace
}  // namespace cobuild::cli
