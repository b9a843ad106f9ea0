/// The text in which caches travel (F5.3).

#include "oci/spec/cache_config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/base/error.hpp"

namespace cobuild::oci {
namespace {

using testing::HasSubstr;

std::string digest(const std::string& of) { return Digest::of(of).to_string(); }

/// `text` with 'a' to 'f' between dollar signs replaced by digests.
std::string with_digests(std::string text) {
  for (std::size_t at = text.find('$'); at != std::string::npos; at = text.find('$', at + 1)) {
    text.replace(at, 2, digest(text.substr(at + 1, 1)));
  }
  return text;
}

CacheConfig parse(const std::string& text) { return parse_cache_config(with_digests(text)); }

std::string complaint(const std::string& text) {
  try {
    (void)parse(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kCorrupt);
    return error.what();
  }
  return "nothing is wrong";
}

// F5.3.2.
TEST(CacheConfig, F10_76_AParentThatIsAbsentIsTheFirst) {
  CacheConfig const config = parse(
      R"({"layers":[{"blob":"$a","parent":-1},{"blob":"$b"},{"blob":"$c","parent":1}]})");
  EXPECT_EQ(config.layers[0].parent, std::nullopt);
  EXPECT_EQ(config.layers[1].parent, 0U);
  EXPECT_EQ(config.layers[2].parent, 1U);
  EXPECT_EQ(to_json(config), with_digests(R"({"layers":[{"blob":"$a","parent":-1},{"blob":"$b"},{"blob":"$c","parent":1}]})"));
}

// F5.3.1, F5.3.4.
TEST(CacheConfig, InputsComeBeforeWhatTheyLeadTo) {
  CacheConfig const config = parse(
      R"({"layers":[{"blob":"$a","parent":-1}],"records":[
        {"digest":"$b","inputs":[[{"link":1,"selector":"$f"},{"link":2}]],"layers":[{"layer":0,"createdAt":"2020-01-02T03:04:05Z"}]},
        {"digest":"$c","inputs":[[{"link":2}]]},
        {"digest":"$d"}]})");
  ASSERT_EQ(config.records.size(), 3U);
  EXPECT_EQ(config.records[0].digest.to_string(), digest("d"));
  EXPECT_EQ(config.records[1].digest.to_string(), digest("c"));
  const CacheRecord& last = config.records[2];
  EXPECT_EQ(last.digest.to_string(), digest("b"));
  EXPECT_EQ(last.inputs[0][0].link, 1U);
  EXPECT_EQ(last.inputs[0][0].selector, Digest::of(std::string_view("f")));
  EXPECT_EQ(last.inputs[0][1].link, 0U);
  EXPECT_EQ(last.results[0].created_at, try_parse_rfc3339("2020-01-02T03:04:05Z"));
}

// F5.3.5.
TEST(CacheConfig, ChainsAreListsOfLayers) {
  CacheConfig const config = parse(
      R"({"layers":[{"blob":"$a","parent":-1},{"blob":"$b","parent":-1}],"records":[
        {"digest":"$c","chains":[{"layers":[1,0],"createdAt":"2020-01-02T03:04:05Z"},{"layers":[]}]}]})");
  ASSERT_EQ(config.records[0].chains.size(), 1U);
  EXPECT_EQ(config.records[0].chains[0].layers, (std::vector<std::size_t>{1, 0}));
}

TEST(CacheConfig, AnnotationsStandForAManifest) {
  CacheConfig const config = parse(
      R"({"layers":[{"blob":"$a","parent":-1,"annotations":{"mediaType":"t","diffID":"$b","size":7,"createdAt":"2020-01-02T03:04:05Z"}}]})");
  ASSERT_TRUE(config.layers[0].annotations.has_value());
  EXPECT_EQ(config.layers[0].annotations->media_type, "t");
  EXPECT_EQ(config.layers[0].annotations->diff_id, DiffId(Digest::of(std::string_view("b"))));
  EXPECT_EQ(config.layers[0].annotations->size, 7);
}

TEST(CacheConfig, ALayerMayLieInAPack) {
  std::string const text = with_digests(
      R"({"layers":[{"blob":"$a","parent":-1,"pack":{"digest":"$f","size":12,"offset":5,"length":7,)"
      R"("annotations":{"size":7,"createdAt":"2020-01-02T03:04:05Z"}}}]})");
  CacheConfig const config = parse(text);
  CachePack const pack{BlobDigest(Digest::of(std::string_view("f"))), 12, 5, 7};
  EXPECT_EQ(config.layers[0].pack, pack);
  EXPECT_EQ(config.layers[0].annotations->size, 7);
  EXPECT_EQ(to_json(config), text);
}

TEST(CacheConfig, APackHasItsLayers) {
  auto const complaint_of = [](const std::string& pack, const std::string& size = "7") {
    return complaint(R"({"layers":[{"blob":"$a","parent":-1,"pack":{)" + pack +
                     R"("annotations":{"size":)" + size + "}}}]}");
  };
  EXPECT_EQ(complaint_of(R"("digest":"$f","size":12,"offset":5,"length":7,)"), "nothing is wrong");
  EXPECT_EQ(complaint(R"({"layers":[{"blob":"$a","parent":-1,"pack":null}]})"), "nothing is wrong");
  EXPECT_THAT(complaint(R"({"layers":[{"blob":"$a","parent":-1,"pack":[]}]})"), HasSubstr("layers[0].pack"));
  EXPECT_THAT(complaint_of(""), HasSubstr("layers[0].pack cannot have 0 bytes at 0: it has 0"));
  for (const char* range : {R"("size":12,"offset":6,"length":7)", R"("size":12,"offset":-1,"length":7)",
                            R"("size":6,"offset":0,"length":7)", R"("size":-1,"offset":0,"length":7)",
                            R"("size":12,"offset":9223372036854775807,"length":7)",
                            R"("size":9223372036854775807,"offset":9223372036854775801,"length":7)"}) {
    EXPECT_THAT(complaint_of(std::string(R"("digest":"$f",)") + range + ","),
                HasSubstr("layers[0].pack cannot have"))
        << range;
  }
  EXPECT_THAT(complaint_of(R"("digest":"$f","size":12,"offset":18446744073709551615,"length":7,)"),
              HasSubstr("layers[0].pack.offset"));
  EXPECT_THAT(complaint_of(R"("digest":"$f","size":12,"offset":5,"length":7,)", "6"),
              HasSubstr("layers[0].pack.length is not the layer's size"));
  EXPECT_THAT(complaint_of(R"("digest":"../x","size":12,"offset":5,"length":7,)"),
              HasSubstr("layers[0].pack.digest"));
  EXPECT_THAT(complaint(R"({"layers":[{"blob":"$a","parent":-1,"pack":{"digest":"$f","size":1,"length":1}}]})"),
              HasSubstr("is not the layer's size"));
}

TEST(CacheConfig, F5_3_7_WhatIsNamedOtherwiseIsLeftOutWithAllThatNeedsIt) {
  CacheConfig const config = parse(
      R"({"records":[{"digest":"random:x"},{"digest":"$a","inputs":[[{"link":0}]]},
        {"digest":"$b","inputs":[[{"link":0},{"link":3}]]},{"digest":"$c"},
        {"digest":"$d","inputs":[[{"link":3,"selector":"odd"}]]}]})");
  ASSERT_EQ(config.records.size(), 2U);
  EXPECT_EQ(config.records[0].digest.to_string(), digest("c"));
  EXPECT_EQ(config.records[1].digest.to_string(), digest("b"));
  EXPECT_EQ(config.records[1].inputs[0].size(), 1U);
}

TEST(CacheConfig, WhatDoesNotHoldTogetherIsRefused) {
  EXPECT_THAT(complaint("{"), HasSubstr("cache config"));
  EXPECT_THAT(complaint("[]"), HasSubstr("cache config"));
  EXPECT_THAT(complaint(R"({"layers":[{"blob":"x"}]})"), HasSubstr("layers[0].blob"));
  EXPECT_THAT(complaint(R"({"layers":[{"blob":"$a","parent":1}]})"), HasSubstr("layers[0].parent is 1"));
  EXPECT_THAT(complaint(R"({"layers":[{"blob":"$a","parent":-2}]})"), HasSubstr("is -2"));
  EXPECT_THAT(complaint(R"({"layers":[{"blob":"$a"}]})"), HasSubstr("layers[0] is in a loop"));
  EXPECT_THAT(complaint(R"({"layers":[{"blob":"$a","parent":1},{"blob":"$b"}]})"), HasSubstr("in a loop"));
  EXPECT_THAT(complaint(R"({"records":[{"digest":"$a","inputs":[[{"link":0}]]}]})"),
              HasSubstr("records[0] is in a loop"));
  EXPECT_THAT(complaint(R"({"records":[{"digest":"$a","inputs":[[{"link":1}]]},{"digest":"$b","inputs":[[{"link":0}]]}]})"),
              HasSubstr("in a loop"));
  EXPECT_THAT(complaint(R"({"records":[{"digest":"$a","inputs":[[{"link":7}]]}]})"), HasSubstr("is 7"));
  EXPECT_THAT(complaint(R"({"records":[{"digest":"$a","inputs":[[]]}]})"), HasSubstr("has no alternatives"));
  EXPECT_THAT(complaint(R"({"records":[{"digest":"$a","layers":[{"layer":0}]}]})"), HasSubstr("layer is 0"));
  EXPECT_THAT(complaint(R"({"records":[{"digest":"$a","chains":[{"layers":[3]}]}]})"), HasSubstr("is 3"));
}

TEST(CacheConfig, DepthIsNoProblem) {
  std::string text = R"({"records":[{"digest":"$a"})";
  for (int i = 0; i < 20'000; ++i) {
    text += R"(,{"digest":"$b","inputs":[[{"link":)" + std::to_string(i) + "}]]}";
  }
  EXPECT_EQ(parse(text + "]}").records.size(), 20'001U);
}

TEST(CacheConfig, F5_3_6_TheOrderDependsOnTheContentOnly) {
  std::string const one =
      R"({"layers":[{"blob":"$a","parent":-1},{"blob":"$b"}],"records":[{"digest":"$c"},{"digest":"$d","inputs":[[{"link":0}]],"layers":[{"layer":1,"createdAt":"2020-01-02T03:04:05Z"}]}]})";
  std::string const other =
      R"({"layers":[{"blob":"$b","parent":1},{"blob":"$a","parent":-1}],"records":[{"digest":"$d","inputs":[[{"link":1}]],"layers":[{"layer":0,"createdAt":"2020-01-02T03:04:05Z"}]},{"digest":"$c"}]})";
  CacheConfig first = parse(one);
  CacheConfig second = parse(other);
  sort_cache_config(first);
  sort_cache_config(second);
  EXPECT_EQ(to_json(first), to_json(second));
  EXPECT_EQ(to_json(parse_cache_config(to_json(first)).records), to_json(parse_cache_config(to_json(second)).records));
}

TEST(CacheConfig, RecordsAloneAreAList) {
  auto const records = parse_cache_records(
      with_digests(R"([{"digest":"$a","layers":[{"layer":1}]}])"), 2);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].results[0].layer, 1U);
  EXPECT_TRUE(parse_cache_records("null", 0).empty());
  EXPECT_THROW(static_cast<void>(parse_cache_records(with_digests(R"([{"digest":"$a","layers":[{"layer":2}]}])"), 2)), Error);
}

}  // namespace
}  // namespace cobuild::oci
