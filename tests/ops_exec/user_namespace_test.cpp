#include "core/sys/user_namespace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cobuild {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Subids, OwnersAreNamesOrNumbers) {
  constexpr const char* kText = "other:1:2\nann:100000:65536\n1000:300000:10\nann:500000:1\n";
  EXPECT_THAT(
      parse_subids(kText, "ann", 1000),
      ElementsAre(SubidRange{100000, 65536}, SubidRange{300000, 10}, SubidRange{500000, 1}));
  EXPECT_THAT(parse_subids(kText, "bob", 5), IsEmpty());
}

TEST(Subids, AMapHasAnId) {
  constexpr std::string_view kMap = "         0       1001          1\n         1     100000      65536\n";
  for (std::uint32_t const id : {0U, 1U, 65536U}) EXPECT_TRUE(has_id(kMap, id)) << id;
  for (std::uint32_t const id : {65537U, 4294967295U}) EXPECT_FALSE(has_id(kMap, id)) << id;
  EXPECT_FALSE(has_id("", 0));
  EXPECT_FALSE(has_id("garbage", 0));
}

TEST(Subids, BadLinesAreSkipped) {
  for (const char* line : {"ann", "ann:", "ann:1", "ann:1:", "ann::5", "ann:x:5", "ann:1:0",
                           "ann:-1:5", "ann:4294967296:1", "ann:4294967290:10", "ann:1:5:6",
                           "ann:1:99999999999999999999", ":1:2", "\n"}) {
    EXPECT_THAT(parse_subids(line, "ann", 1000), IsEmpty()) << line;
  }
  EXPECT_THAT(parse_subids("junk\nann:7:8", "ann", 1000), ElementsAre(SubidRange{7, 8}));
}

TEST(Subids, AreBounded) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "ann:" + std::to_string(100000 + i) + ":1\n";
  EXPECT_EQ(parse_subids(text, "ann", 1000).size(), kSubidRangesMax);
  EXPECT_EQ(map_ids(1000, parse_subids(text, "ann", 1000)).size(), kSubidRangesMax);
}

TEST(MapIds, RootIsTheUserAndTheRestFollows) {
  EXPECT_THAT(map_ids(1000, {{100000, 65536}, {400000, 10}}),
              ElementsAre(IdMapping{0, 1000, 1}, IdMapping{1, 100000, 65536},
                          IdMapping{65537, 400000, 10}));
  EXPECT_THAT(map_ids(1000, {}), ElementsAre(IdMapping{0, 1000, 1}));
  EXPECT_THAT(map_ids(1000, {{1, 4294967295U}, {5, 5}}),
              ElementsAre(IdMapping{0, 1000, 1}, IdMapping{1, 1, 4294967294U}));
}

TEST(UserName, IsReadFromPasswd) {
  constexpr const char* kText = "root:x:0:0::/:/bin/sh\nbad\nann:x:1000:1000::/:/bin/sh\n";
  EXPECT_EQ(user_name(kText, 1000), "ann");
  EXPECT_EQ(user_name(kText, 0), "root");
  EXPECT_EQ(user_name(kText, 7), std::nullopt);
}

TEST(UserNamespaceRefusal, AlwaysHasCauseAndRemedy) {
  for (int error : {EPERM, ENOSPC, EINVAL}) {
    Refusal const refusal = explain_userns_refusal(error);
    EXPECT_FALSE(refusal.cause.empty());
    EXPECT_FALSE(refusal.remedy.empty());
  }
}

}  // namespace
}  // namespace cobuild
