#include "core/store/collect.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "core/base/error.hpp"
#include "core/store/database.hpp"
#include "core/store/key_index.hpp"
#include "core/store/usage_filter.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::store {
namespace {

using test::add_layer;
using test::StoreProcess;
using test::StoreTest;
using test::write_text;

std::vector<std::string> ids(const std::vector<UsageRecord>& records) {
  std::vector<std::string> out;
  for (const UsageRecord& record : records) out.push_back(record.id);
  std::sort(out.begin(), out.end());
  return out;
}

std::string id(LayerId layer) {
  return std::to_string(layer.value);
}

/// What earlier processes left.
struct Left {
  LayerId base;
  LayerId child;
  LayerId internal;
};

Left leave_layers(const std::filesystem::path& root) {
  StoreProcess process(root);
  Left left;
  left.base = add_layer(process, std::string(100'000, 'b'), {.description = "base"});
  left.child = add_layer(process, std::string(50'000, 'c'), {.description = "child"});
  left.internal =
      add_layer(process, "i", {.description = "context", .kind = RecordKind::kInternal});
  KeyIndex index(process.store());
  index.add_result(index.add_root(Digest::of("child")), {{left.base, left.child}, now(), ""});
  auto const cache = process.run(process.store().cache_mount("pip", "cached mount /root/.cache"));
  write_text(cache / "wheel", std::string(10'000, 'w'));
  return left;
}

TEST_F(StoreTest, UsageListsLayersAndCaches) {  // F5.1.3, F5.1.4
  Left const left = leave_layers(root);
  StoreProcess process(root);
  auto const records = process.run(disk_usage(process.store(), {}));
  ASSERT_EQ(records.size(), 4U);
  EXPECT_TRUE(std::is_sorted(records.begin(), records.end(),
                             [](const auto& a, const auto& b) { return a.size < b.size; }));
  const UsageRecord& child = *std::find_if(records.begin(), records.end(),
                                           [&](const auto& r) { return r.id == id(left.child); });
  EXPECT_EQ(child.parents, std::vector<std::string>{id(left.base)});
  EXPECT_GE(child.size, 50'000);
  EXPECT_FALSE(child.in_use);
  auto const caches = process.run(disk_usage(process.store(), {"type==exec.cachemount"}));
  ASSERT_EQ(caches.size(), 1U);
  EXPECT_TRUE(caches[0].mutable_);
  EXPECT_GE(caches[0].size, 10'000);
}

TEST_F(StoreTest, PruneTakesAllButInternalRecords) {  // F5.5.6
  Left const left = leave_layers(root);
  StoreProcess process(root);
  auto const removed = process.run(prune(process.store(), {}));
  EXPECT_EQ(removed.size(), 3U);
  EXPECT_FALSE(std::filesystem::exists(process.store().snapshot_path(left.base)));
  EXPECT_TRUE(std::filesystem::exists(process.store().snapshot_path(left.internal)));
  EXPECT_TRUE(std::filesystem::is_empty(root / "caches"));
  EXPECT_EQ(KeyIndex(process.store()).find_root(Digest::of("child")), std::nullopt)
      << "a key that leads nowhere goes too";
  PruneOptions all;
  all.all = true;
  EXPECT_EQ(ids(process.run(prune(process.store(), all))),
            std::vector<std::string>{id(left.internal)});
  EXPECT_TRUE(std::filesystem::is_empty(root / "snapshots"));
}

TEST_F(StoreTest, PruneLeavesWhatALivingProcessUses) {  // F5.5.7
  Left const left = leave_layers(root);
  StoreProcess user(root);
  ASSERT_TRUE(user.run(user.store().use({left.child})));
  StoreProcess process(root);
  PruneOptions all;
  all.all = true;
  auto removed = ids(process.run(prune(process.store(), all)));
  EXPECT_EQ(std::count(removed.begin(), removed.end(), id(left.child)), 0);
  EXPECT_EQ(std::count(removed.begin(), removed.end(), id(left.base)), 0)
      << "the parent of what stays, stays";
  EXPECT_TRUE(std::filesystem::exists(process.store().snapshot_path(left.child)));
  user.close();
  EXPECT_EQ(process.run(prune(process.store(), all)).size(), 2U);
}

TEST_F(StoreTest, PruneKeepsWithinABudgetTheMostUsed) {  // F5.5.9
  Left const left = leave_layers(root);
  {
    StoreProcess process(root);
    ASSERT_TRUE(process.run(process.store().use({left.base, left.child})));
  }
  StoreProcess process(root);
  PruneOptions options;
  options.max_used_bytes = 165'000;
  auto const removed = process.run(prune(process.store(), options));
  ASSERT_EQ(removed.size(), 1U) << "the cache mount was used least";
  EXPECT_EQ(removed[0].kind, RecordKind::kCacheMount);
  options.max_used_bytes = 120'000;
  EXPECT_EQ(ids(process.run(prune(process.store(), options))),
            std::vector<std::string>{id(left.child)})
      << "a parent does not go before its child";
  options.reserved_bytes = 1'000'000;
  EXPECT_TRUE(process.run(prune(process.store(), options)).empty());
}

TEST_F(StoreTest, PruneKeepsWhatIsRecentAndWhatIsNotMeant) {  // F5.5.8
  leave_layers(root);
  StoreProcess process(root);
  PruneOptions recent;
  recent.keep_duration = std::chrono::hours(1);
  EXPECT_TRUE(process.run(prune(process.store(), recent)).empty());
  PruneOptions caches;
  caches.filters = {"type==exec.cachemount"};
  auto const removed = process.run(prune(process.store(), caches));
  ASSERT_EQ(removed.size(), 1U);
  EXPECT_EQ(removed[0].kind, RecordKind::kCacheMount);
}

TEST_F(StoreTest, PruneTakesWhatCrashedProcessesLeft) {
  leave_layers(root);
  // A dead process's lease, directory and files that no row names.
  write_text(root / "leases" / "0123456789abcdef", "");
  std::filesystem::create_directories(root / "ingest" / "0123456789abcdef" / "layer-1" / "fs");
  std::filesystem::create_directories(root / "ingest" / "fedcba9876543210");
  std::filesystem::create_directories(root / "snapshots" / "999" / "fs");
  write_text(root / "blobs" / "sha256" / Digest::of("x").hex(), "torn");
  {
    Database database(root / "store.db", std::chrono::seconds(1));
    database.run("INSERT INTO leases(process, layer) VALUES('0123456789abcdef', 1)");
  }
  StoreProcess process(root);
  PruneOptions none;
  none.filters = {"id==none"};
  EXPECT_TRUE(process.run(prune(process.store(), none)).empty());
  EXPECT_FALSE(std::filesystem::exists(root / "leases" / "0123456789abcdef"));
  EXPECT_FALSE(std::filesystem::exists(root / "ingest" / "0123456789abcdef"));
  EXPECT_FALSE(std::filesystem::exists(root / "ingest" / "fedcba9876543210"));
  EXPECT_FALSE(std::filesystem::exists(root / "snapshots" / "999"));
  EXPECT_TRUE(std::filesystem::is_empty(root / "blobs" / "sha256"));
  EXPECT_EQ(process.run(prune(process.store(), {})).size(), 3U) << "its lease protects nothing";
}

TEST_F(StoreTest, ALayerTakesItsBlobWithIt) {
  {
    StoreProcess process(root);
    LayerId const layer = add_layer(process, "x");
    NewBlob blob = process.run(process.store().new_blob());
    ASSERT_EQ(::write(blob.fd(), "gz", 2), 2);
    BlobDigest const digest(Digest::of("gz"));
    process.run(process.store().commit_blob(std::move(blob), digest, 2));
    process.run(
        process.store().set_sealed(layer, DiffId(Digest::of("d")), {digest, 2, "m", {}, true}));
  }
  StoreProcess process(root);
  PruneOptions budget;
  budget.max_used_bytes = 1;
  EXPECT_EQ(process.run(prune(process.store(), budget)).size(), 1U);
  EXPECT_FALSE(process.store().has_blob(BlobDigest(Digest::of("gz"))));
  EXPECT_TRUE(std::filesystem::is_empty(root / "blobs" / "sha256"));
}

// ---- filters

struct FilterCase {
  const char* name;
  std::vector<std::string> filters;
  bool matches;
};

class Filter : public testing::TestWithParam<FilterCase> {};

TEST_P(Filter, ChoosesRecords) {  // F5.5.4
  UsageRecord record;
  record.id = "abc";
  record.parents = {"p1", "p2"};
  record.description = "RUN make, all";
  record.in_use = true;
  EXPECT_EQ(UsageFilter(GetParam().filters, "prune").matches(record), GetParam().matches);
}

INSTANTIATE_TEST_SUITE_P(
    Table, Filter,
    testing::Values(
        FilterCase{"None", {}, true}, FilterCase{"Empty", {""}, true},
        FilterCase{"Equal", {"id==abc"}, true}, FilterCase{"NotEqual", {"id!=abc"}, false},
        FilterCase{"Matches", {"description~=^RUN"}, true},
        FilterCase{"BetweenSlashes", {R"(description~=/^RUN.*, all$/,id==abc)"}, true},
        FilterCase{"BetweenBars", {R"(description~=|RUN\s\d+|)"}, false},
        FilterCase{"MatchesNot", {"description~=^COPY"}, false},
        FilterCase{"Quoted", {R"(description=="RUN make, all")"}, true},
        FilterCase{"Present", {"inuse"}, true}, FilterCase{"Absent", {"mutable"}, false},
        FilterCase{"Immutable", {"immutable"}, true}, FilterCase{"Private", {"private"}, true},
        FilterCase{"Shared", {"shared"}, false}, FilterCase{"Type", {"type==regular"}, true},
        FilterCase{"Parents", {"parents==p1;p2"}, true}, FilterCase{"And", {"inuse,id==abc"}, true},
        FilterCase{"AndNot", {"inuse,id==x"}, false}, FilterCase{"Or", {"id==x", "id==abc"}, true},
        FilterCase{"Unknown", {"nothing"}, false}),
    [](const auto& test) { return test.param.name; });

class BadFilter : public testing::TestWithParam<const char*> {};

TEST_P(BadFilter, IsRefused) {
  try {
    UsageFilter const filter({GetParam()}, "prune");
    FAIL() << "took " << GetParam();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalidInput);
    EXPECT_TRUE(std::string(e.what()).starts_with(
        "failed to parse prune filters [" + std::string(GetParam()) + "]: filters: parse error"))
        << e.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Table, BadFilter,
                         testing::Values("id=abc", "id==", "==x", "id==\"x", "id~=(", "a==b,",
                                         "id~=/x", "id<3"));

TEST(FilterKinds, SaysOfWhichKindsARecordMayBe) {
  UsageFilter const two({"type==exec.cachemount,id==x", "type~=^source"}, "prune");
  EXPECT_TRUE(two.may_match(RecordKind::kCacheMount));
  EXPECT_TRUE(two.may_match(RecordKind::kGitCheckout));
  EXPECT_FALSE(two.may_match(RecordKind::kRegular));
  EXPECT_TRUE(UsageFilter({}, "prune").may_match(RecordKind::kInternal));
  EXPECT_TRUE(UsageFilter({"inuse"}, "prune").may_match(RecordKind::kInternal));
}

}  // namespace
}  // namespace cobuild::store
