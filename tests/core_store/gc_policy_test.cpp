// What garbage collection is to leave, and what goes for that: pure functions.

#include "core/store/gc_policy.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "core/store/choice.hpp"

namespace cobuild::store {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::int64_t kGigabyte = 1'000'000'000;
constexpr DiskStat kSmallDisk{.total = std::int64_t{40} << 30, .free = std::int64_t{20} << 30};
constexpr DiskStat kLargeDisk{.total = std::int64_t{4000} << 30, .free = std::int64_t{2000} << 30};

TEST(DiskSpace, SharesAreRoundedUpToGigabytes) {
  EXPECT_EQ((DiskSpace{.bytes = 7, .percent = 0}).on(kSmallDisk), 7);
  EXPECT_EQ((DiskSpace{.bytes = 0, .percent = 10}).on(kSmallDisk), 5 * kGigabyte);
  EXPECT_EQ((DiskSpace{.bytes = 0, .percent = 11}).on(kSmallDisk), 5 * kGigabyte);
  EXPECT_EQ((DiskSpace{.bytes = 0, .percent = 10}).on({}), 2 * kGigabyte)
      << "a disk without a size";
  EXPECT_EQ(DiskSpace{}.on(kSmallDisk), 0);
}

TEST(GcPolicy, DefaultRules) {  // F5.5.12
  auto const rules = gc_rules({}, kSmallDisk);
  ASSERT_EQ(rules.size(), 4U);
  EXPECT_THAT(rules[0].filters, ElementsAre("type==source.local", "type==exec.cachemount",
                                            "type==source.git.checkout"));
  EXPECT_EQ(rules[0].keep_duration, 48h);
  EXPECT_EQ(rules[0].max_used_bytes, 512'000'000);
  EXPECT_EQ(rules[1].keep_duration, 60 * 24h);
  for (std::size_t i = 1; i < 4; ++i) {
    EXPECT_EQ(rules[i].reserved_bytes, 5 * kGigabyte);
    EXPECT_EQ(rules[i].min_free_bytes, 9 * kGigabyte);
    EXPECT_EQ(rules[i].max_used_bytes, 33 * kGigabyte);
    EXPECT_EQ(rules[i].all, i == 3);
    EXPECT_THAT(rules[i].filters, IsEmpty());
  }
  EXPECT_EQ(rules[2].keep_duration, 0h);
  auto const large = gc_rules({}, kLargeDisk);
  EXPECT_EQ(large[2].reserved_bytes, 10 * kGigabyte);
  EXPECT_EQ(large[2].max_used_bytes, 100 * kGigabyte);
}

TEST(GcPolicy, LimitsOfTheWorkerReplaceThoseOfTheDisk) {  // F5.5.11
  GcConfig config;
  config.max_used.bytes = 7;
  auto const rules = gc_rules(config, kLargeDisk);
  ASSERT_EQ(rules.size(), 4U);
  EXPECT_EQ(rules[3].max_used_bytes, 7);
  EXPECT_EQ(rules[3].reserved_bytes, 0);
  EXPECT_EQ(rules[3].min_free_bytes, 0);
  EXPECT_EQ(rules[0].max_used_bytes, 512'000'000);
}

TEST(GcPolicy, OwnRulesReplaceTheDefaultOnes) {
  GcConfig config;
  config.rules.push_back({.all = true,
                          .filters = {"type==regular"},
                          .keep_duration = 1h,
                          .reserved = {.bytes = 1, .percent = 0},
                          .max_used = {.bytes = 0, .percent = 10},
                          .min_free = {.bytes = 3, .percent = 0}});
  EXPECT_THAT(gc_rules(config, kSmallDisk),
              ElementsAre(PruneOptions{.all = true,
                                       .filters = {"type==regular"},
                                       .keep_duration = 1h,
                                       .reserved_bytes = 1,
                                       .max_used_bytes = 5 * kGigabyte,
                                       .min_free_bytes = 3}));
  config.enabled = false;
  EXPECT_THAT(gc_rules(config, kSmallDisk), IsEmpty());
}

// ---- how much may stay (F5.5.9)

struct KeepCase {
  const char* name;
  std::int64_t reserved, max_used, min_free;
  std::int64_t expected;
};

class Keep : public testing::TestWithParam<KeepCase> {};

TEST_P(Keep, OfAThousandBytesWithAHundredFree) {
  PruneOptions options;
  options.reserved_bytes = GetParam().reserved;
  options.max_used_bytes = GetParam().max_used;
  options.min_free_bytes = GetParam().min_free;
  EXPECT_EQ(bytes_to_keep(options, 1000, 100), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(Table, Keep,
                         testing::Values(KeepCase{"NoLimit", 0, 0, 0, 0},
                                         KeepCase{"Most", 0, 700, 0, 700},
                                         KeepCase{"Least", 800, 700, 0, 800},
                                         KeepCase{"EnoughIsFree", 0, 0, 100, 1001},
                                         KeepCase{"TooLittleIsFree", 0, 0, 300, 800},
                                         KeepCase{"TheSmallerOfTwo", 0, 700, 300, 700},
                                         KeepCase{"FreeingStopsAtTheReserve", 950, 0, 300, 950},
                                         KeepCase{"MoreThanThereIs", 0, 0, 5000, 1}),
                         [](const auto& test) { return test.param.name; });

// ---- which ones go

UsageRecord record(std::string id, std::int64_t size, int hours_unused, std::int64_t uses,
                   std::vector<std::string> parents = {}) {
  UsageRecord out;
  out.id = std::move(id);
  out.size = size;
  out.last_used_at = now() - std::chrono::hours(hours_unused);
  out.usage_count = uses;
  out.parents = std::move(parents);
  return out;
}

std::vector<std::string> ids(const std::vector<UsageRecord>& records) {
  std::vector<std::string> out;
  for (const UsageRecord& each : records) out.push_back(each.id);
  return out;
}

TEST(Choose, TheOldestAndLeastUsedFirst) {  // F5.5.10
  std::vector<UsageRecord> records = {record("new", 100, 1, 1), record("old", 100, 60, 1),
                                      record("old and used", 100, 50, 9),
                                      record("in between", 100, 20, 4)};
  PruneOptions options;
  options.max_used_bytes = 50;
  auto copy = records;
  EXPECT_THAT(ids(choose(copy, options, UsageFilter({}, "prune"), 0)),
              ElementsAre("old", "new", "in between", "old and used"));
  EXPECT_THAT(copy, IsEmpty());
  options.max_used_bytes = 301;
  EXPECT_THAT(ids(choose(records, options, UsageFilter({}, "prune"), 0)), ElementsAre("old"));
  EXPECT_THAT(ids(records), ElementsAre("new", "old and used", "in between"));
}

TEST(Choose, ChildrenBeforeParents) {  // F5.5.7
  std::vector<UsageRecord> records = {record("base", 100, 90, 1),
                                      record("child", 100, 10, 5, {"base"}),
                                      record("in use", 100, 90, 1), record("held", 100, 95, 1)};
  records[2].in_use = true;
  records[2].parents = {"held"};
  EXPECT_THAT(ids(choose(records, {}, UsageFilter({}, "prune"), 0)), ElementsAre("child", "base"));
  EXPECT_THAT(ids(records), ElementsAre("in use", "held"));
}

TEST(Choose, SharedAndInternalRecordsAreForAll) {  // F5.5.6
  std::vector<UsageRecord> records = {record("regular", 1, 1, 1), record("shared", 1, 1, 1),
                                      record("internal", 1, 1, 1), record("frontend", 1, 1, 1)};
  records[1].shared = true;
  records[2].kind = RecordKind::kInternal;
  records[3].kind = RecordKind::kFrontend;
  EXPECT_THAT(ids(choose(records, {}, UsageFilter({}, "prune"), 0)), ElementsAre("regular"));
  PruneOptions all;
  all.all = true;
  EXPECT_EQ(choose(records, all, UsageFilter({}, "prune"), 0).size(), 3U);
}

TEST(Choose, WhatWasUsedSinceTheCutOffStays) {  // F5.5.8
  std::vector<UsageRecord> records = {record("recent", 1, 47, 1), record("old", 1, 49, 1)};
  PruneOptions options;
  options.keep_duration = 48h;
  EXPECT_THAT(ids(choose(records, options, UsageFilter({}, "prune"), 0)), ElementsAre("old"));
}

}  // namespace
}  // namespace cobuild::store
