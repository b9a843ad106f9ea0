#include "core/base/timings.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace cobuild {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

Timings::Time at(int milliseconds) {
  return Timings::Time() + std::chrono::milliseconds(milliseconds);
}

struct UnionCase {
  const char* name;
  std::vector<std::pair<int, int>> intervals;  ///< Begin and end.
  int total;
  int wall;
};

class TimingsUnion : public testing::TestWithParam<UnionCase> {};

/// Gives the beginnings and ends in the order of time; at one time, ends come first when
/// `ends_first`.
Timings::Report record(const std::vector<std::pair<int, int>>& intervals, bool ends_first) {
  std::set<std::tuple<int, int, std::size_t>> events;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    events.emplace(intervals[i].first, ends_first ? 1 : 0, i);
    events.emplace(intervals[i].second, ends_first ? 0 : 1, i);
  }
  Timings timings;
  for (auto const& [time, kind, i] : events) {
    bool const begins = kind == (ends_first ? 1 : 0);
    if (begins) {
      timings.begin(Phase::kHash, at(time));
    } else {
      timings.end(Phase::kHash, at(intervals[i].first), at(time));
    }
  }
  return timings.report(at(1000));
}

TEST_P(TimingsUnion, IsWhatAtLeastOneIntervalCovers) {
  for (bool const ends_first : {false, true}) {
    Timings::Report const report = record(GetParam().intervals, ends_first);
    Timings::Row const expected{.phase = Phase::kHash,
                                .count = GetParam().intervals.size(),
                                .total = std::chrono::milliseconds(GetParam().total),
                                .wall = std::chrono::milliseconds(GetParam().wall)};
    EXPECT_THAT(report.rows, ElementsAre(expected));
    EXPECT_EQ(report.covered, expected.wall);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, TimingsUnion,
                         testing::Values(UnionCase{"One", {{1, 4}}, 3, 3},
                                         UnionCase{"Apart", {{1, 4}, {6, 7}}, 4, 4},
                                         UnionCase{"Nested", {{1, 10}, {2, 3}, {4, 6}}, 12, 9},
                                         UnionCase{"Overlapping", {{1, 5}, {3, 8}, {7, 9}}, 11, 8},
                                         UnionCase{"Adjacent", {{1, 3}, {3, 5}, {5, 6}}, 5, 5},
                                         UnionCase{"Equal", {{2, 5}, {2, 5}}, 6, 3}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Timings, PhasesAreApartAndComeInTheirOrder) {
  Timings timings;
  timings.begin(Phase::kFlush, at(0));
  timings.begin(Phase::kScan, at(1));
  timings.end(Phase::kFlush, at(0), at(2));
  timings.end(Phase::kScan, at(1), at(4));
  Timings::Report const report = timings.report(at(9));
  EXPECT_THAT(report.rows, ElementsAre(Timings::Row{Phase::kScan, 1, 3ms, 3ms},
                                       Timings::Row{Phase::kFlush, 1, 2ms, 2ms}));
  EXPECT_EQ(report.covered, 4ms);
}

TEST(Timings, WhatHasNotEndedIsTold) {
  Timings timings;
  timings.begin(Phase::kPull, at(2));
  Timings::Report const report = timings.report(at(5));
  EXPECT_THAT(report.rows, ElementsAre(Timings::Row{Phase::kPull, 0, 0ms, 3ms}));
}

TEST(Timings, BeginWithTheStartOfTheProcess) {
  Timings timings;
  EXPECT_FALSE(timings.is_enabled());
  timings.enable(at(10), at(12));
  EXPECT_TRUE(timings.is_enabled());
  Timings::Report const report = timings.report(at(30));
  EXPECT_THAT(report.rows, ElementsAre(Timings::Row{Phase::kStart, 1, 2ms, 2ms}));
  EXPECT_EQ(report.whole, 20ms);
}

TEST(Timings, CarriedUseIsAddedAndPeaksAreNot) {
  Timings timings;
  timings.carry({.user = 1ms, .system = 2ms, .peak_bytes = 10});
  timings.carry({.user = 3ms, .system = 4ms, .peak_bytes = 7});
  EXPECT_EQ(timings.report(at(0)).used,
            (ResourceUse{.user = 4ms, .system = 6ms, .peak_bytes = 10}));
}

TEST(Timings, ThreadsMayRecordAtOnce) {
  constexpr int kPieces = 2000;
  Timings timings;
  auto record_many = [&timings] {
    for (int i = 0; i < kPieces; ++i) {
      auto const began = Timings::Clock::now();
      timings.begin(Phase::kCopy, began);
      timings.end(Phase::kCopy, began, Timings::Clock::now());
    }
  };
  std::thread other(record_many);
  record_many();
  other.join();
  Timings::Report const report = timings.report(Timings::Clock::now());
  ASSERT_EQ(report.rows.size(), 1U);
  EXPECT_EQ(report.rows[0].count, std::uint64_t{2 * kPieces});
}

TEST(TimingsSpan, RecordsOnlyOnceItIsAskedFor) {
  {
    Timings::Span const span(Phase::kSeal);
  }
  EXPECT_THAT(process_timings().report(Timings::Clock::now()).rows, IsEmpty());
  auto const began = Timings::Clock::now();
  {
    Timings::Span const before(Phase::kSeal);  // does not end what was not begun
    process_timings().enable(began, began);
    Timings::Span const span(Phase::kMount);
  }
  Timings::Report const report = process_timings().report(Timings::Clock::now());
  ASSERT_EQ(report.rows.size(), 2U);
  EXPECT_EQ(report.rows[0].phase, Phase::kStart);
  EXPECT_EQ(report.rows[1].phase, Phase::kMount);
  EXPECT_EQ(report.rows[1].count, 1U);
}

TEST(Timings, ProcessDidNotStartInTheFuture) {
  auto const now = Timings::Clock::now();
  EXPECT_LT(estimate_process_start(now), now);
  EXPECT_GT(resources_used().peak_bytes, 0);
}

}  // namespace
}  // namespace cobuild
