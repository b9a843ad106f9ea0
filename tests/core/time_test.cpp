#include <gtest/gtest.h>

#include "core/base/go_time.hpp"
#include "core/base/source_span.hpp"

namespace cobuild {
namespace {

struct TimeCase {
  const char* name;
  std::string text;
  std::string canonical;  ///< Empty: refused.
};

class Rfc3339 : public testing::TestWithParam<TimeCase> {};

TEST_P(Rfc3339, IsReadAndSpelled) {
  auto const time = try_parse_rfc3339(GetParam().text);
  ASSERT_EQ(time.has_value(), !GetParam().canonical.empty());
  if (!time) return;
  EXPECT_EQ(format_rfc3339(*time), GetParam().canonical);
  EXPECT_EQ(try_parse_rfc3339(format_rfc3339(*time)), time);
}

INSTANTIATE_TEST_SUITE_P(
    Table, Rfc3339,
    testing::Values(
        TimeCase{"Epoch", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
        TimeCase{"Nanoseconds", "2024-02-29T23:59:59.123456789Z", "2024-02-29T23:59:59.123456789Z"},
        TimeCase{"TrailingZeros", "2024-01-02T03:04:05.120000000Z", "2024-01-02T03:04:05.12Z"},
        TimeCase{"MoreDecimals", "2024-01-02T03:04:05.1234567899Z",
                 "2024-01-02T03:04:05.123456789Z"},
        TimeCase{"East", "2024-01-01T00:30:00+01:30", "2023-12-31T23:00:00Z"},
        TimeCase{"West", "2023-12-31T23:00:00-02:00", "2024-01-01T01:00:00Z"},
        TimeCase{"BeforeEpoch", "1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"},
        TimeCase{"GoZeroTime", "0001-01-01T00:00:00Z", "1677-09-21T00:12:43.145224192Z"},
        TimeCase{"FarFuture", "9999-12-31T23:59:59Z", "2262-04-11T23:47:16.854775807Z"},
        TimeCase{"Empty", "", ""}, TimeCase{"NoZone", "2024-01-02T03:04:05", ""},
        TimeCase{"BadMonth", "2024-13-02T03:04:05Z", ""},
        TimeCase{"BadDay", "2023-02-29T03:04:05Z", ""},
        TimeCase{"LeapSecond", "2016-12-31T23:59:60Z", ""},
        TimeCase{"NoDecimals", "2024-01-02T03:04:05.Z", ""},
        TimeCase{"BadOffset", "2024-01-02T03:04:05+99:00", ""},
        TimeCase{"Trailing", "2024-01-02T03:04:05Z ", ""}),
    [](const auto& test) { return test.param.name; });

SourceSpan span(int first, int last) {
  return {"Dockerfile", std::make_shared<const std::string>("one\ntwo\nthree\nfour\nfive\nsix\n"),
          first, last};
}

TEST(SourceSpan, QuotesTheLineWithItsNeighbours) {
  EXPECT_EQ(render_excerpt(span(3, 3)),
            "Dockerfile:3\n"
            "--------------------\n"
            "   1 |     one\n"
            "   2 |     two\n"
            "   3 | >>> three\n"
            "   4 |     four\n"
            "   5 |     five\n"
            "--------------------\n");
}

TEST(SourceSpan, IsOnlyAPlaceWithoutText) {
  EXPECT_EQ(render_excerpt({"Dockerfile", nullptr, 4, 4}), "Dockerfile:4\n");
}

TEST(SourceSpan, StandsForLinesThatAreNotThere) {
  EXPECT_NO_THROW((void)render_excerpt(span(40, 41)));
  std::string const line = std::string(999, 'x') + "\xC3\xA9" + std::string(65000, 'y');
  std::string const clipped =
      render_excerpt({"Dockerfile", std::make_shared<const std::string>(line), 1, 1});
  EXPECT_NE(clipped.find(" | >>> " + std::string(999, 'x') + "... (65002 more bytes)\n"),
            std::string::npos);
}

}  // namespace
}  // namespace cobuild
