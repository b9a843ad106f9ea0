#include "cli/usage_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cobuild::cli {
namespace {

UsageRecords sample() {
  store::UsageRecord small;
  small.id = "small";
  small.size = 512;
  small.created_at = Timestamp(std::chrono::milliseconds(1500));
  small.mutable_ = true;
  small.kind = store::RecordKind::kCacheMount;
  store::UsageRecord big = small;
  big.id = "big";
  big.parents = {"p", "q"};
  big.size = 1'234'567;
  big.mutable_ = false;
  big.shared = big.in_use = true;
  big.last_used_at = Timestamp(std::chrono::seconds(2));
  big.usage_count = 3;
  big.description = "RUN\nmake";
  return {small, big};
}

TEST(UsageTable, Rows) {  // F5.5.1
  EXPECT_EQ(render_usage_table(sample()),
            "ID\t\t\t\t\t\t\t\t\tRECLAIMABLE\tSIZE\tLAST ACCESSED\n" +
                ("small*" + std::string(65, ' ')) + "\ttrue       \t512B\t\n" +
                ("big" + std::string(68, ' ')) + "\tfalse      \t1.23MB*\t\n");
}

TEST(UsageTable, Summary) {  // F5.5.1, F5.5.5
  EXPECT_EQ(render_usage_summary(sample()),
            "Shared:\t\t1.23MB\nPrivate:\t512B\nReclaimable:\t512B\nTotal:\t\t1.24MB\n");
  EXPECT_EQ(render_usage_summary({}), "Reclaimable:\t0B\nTotal:\t\t0B\n");
  EXPECT_EQ(render_total(sample()), "Total:\t1.24MB\n");
}

TEST(UsageTable, Verbose) {  // F5.5.2
  auto records = sample();
  records.erase(records.begin());
  EXPECT_EQ(
      render_usage_verbose(records),
      "ID:\t\tbig\nParents:\tp;q\nCreated at:\t1970-01-01 00:00:01.5 +0000 UTC\nMutable:\tfalse\n"
      "Reclaimable:\tfalse\nShared:\t\ttrue\nSize:\t\t1.23MB\nDescription:\tRUN make\n"
      "Usage count:\t3\nLast used:\t1970-01-01 00:00:02 +0000 UTC\nType:\t\texec.cachemount\n\n");
}

TEST(UsageTable, Json) {  // F5.5.3
  auto records = sample();
  records.pop_back();
  std::string const object =
      R"({"id":"small","mutable":true,"inUse":false,"size":512,"createdAt":"1970-01-01T00:00:01.5Z",)"
      R"("lastUsedAt":null,"usageCount":0,"parents":null,"description":"","recordType":"exec.cachemount","shared":false})";
  EXPECT_EQ(render_usage_json(records), "[" + object + "]\n");
  EXPECT_EQ(render_usage_json_lines(records), object + "\n");
}

}  // namespace
}  // namespace cobuild::cli
