// Garbage collection at the end of a build.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <chrono>

#include "core/base/error.hpp"
#include "core/store/collect.hpp"
#include "core/store/database.hpp"
#include "core/store/durability.hpp"
#include "core/store/key_index.hpp"
#include "core/store/store_impl.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::store {
namespace {

using namespace std::chrono_literals;
using test::add_layer;
using test::StoreProcess;
using test::StoreTest;
using test::write_blob;
using test::write_text;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr GcLimits kAtOnce{.interval = 0ms, .time = 60'000ms};

GcConfig at_most(std::int64_t bytes) {
  GcConfig config;
  config.max_used.bytes = bytes;
  return config;
}

class GarbageTest : public StoreTest {
 protected:
  void set_last_use(const std::string& table, std::chrono::hours ago) {
    Database database(root / "store.db", std::chrono::seconds(1));
    database.script("UPDATE " + table + " SET last_used_at = last_used_at - " +
                    std::to_string(std::chrono::nanoseconds(ago).count()));
  }

  /// Layers of 100 kB, of a process that has ended.
  std::vector<LayerId> leave_layers(int count) {
    StoreProcess process(root);
    std::vector<LayerId> layers;
    for (int i = 0; i < count; ++i)
      layers.push_back(add_layer(process, std::string(100'000, static_cast<char>('a' + i))));
    return layers;
  }

  [[nodiscard]] bool has_files(LayerId layer) const {
    return std::filesystem::exists(root / "snapshots" / std::to_string(layer.value));
  }
};

TEST_F(GarbageTest, TakesWhatIsOverALimitAndNotInUse) {
  auto const layers = leave_layers(3);
  StoreProcess process(root);
  ASSERT_TRUE(process.run(process.store().use({layers[0]})));
  auto const removed = process.run(collect_garbage(process.store(), at_most(250'000), kAtOnce));
  ASSERT_EQ(removed.size(), 1U);
  EXPECT_EQ(removed[0].id, std::to_string(layers[1].value)) << "the one used longest ago";
  EXPECT_TRUE(has_files(layers[0]));
  EXPECT_FALSE(has_files(layers[1]));
  EXPECT_TRUE(has_files(layers[2]));
  EXPECT_EQ(process.run(collect_garbage(process.store(), at_most(1), kAtOnce)).size(), 1U);
  EXPECT_TRUE(has_files(layers[0])) << "whatever the limit is";
  EXPECT_TRUE(std::filesystem::is_empty(root / "ingest" / process.store().impl().lease.name()));
}

TEST_F(GarbageTest, DoesNothingWithinTheLimits) {
  auto const layers = leave_layers(2);
  StoreProcess process(root);
  EXPECT_THAT(process.run(collect_garbage(process.store(), at_most(1'000'000), kAtOnce)),
              IsEmpty());
  EXPECT_THAT(process.run(collect_garbage(process.store(), {}, kAtOnce)), IsEmpty());
  GcConfig off = at_most(1);
  off.enabled = false;
  EXPECT_THAT(process.run(collect_garbage(process.store(), off, kAtOnce)), IsEmpty());
  EXPECT_TRUE(has_files(layers[0]) && has_files(layers[1]));
}

TEST_F(GarbageTest, AStoreIsLookedAtOnceInTheInterval) {  // F5.5.13
  leave_layers(2);
  StoreProcess process(root);
  GcLimits const hourly{.interval = 1h, .time = 60'000ms};
  EXPECT_THAT(process.run(collect_garbage(process.store(), at_most(1'000'000), hourly)), IsEmpty());
  EXPECT_THAT(process.run(collect_garbage(process.store(), at_most(1), hourly)), IsEmpty());
  {
    StoreProcess other(root);
    EXPECT_THAT(other.run(collect_garbage(other.store(), at_most(1), hourly)), IsEmpty());
  }
  {
    Database database(root / "store.db", std::chrono::seconds(1));
    database.run("UPDATE state SET value = value + 7200000000000 WHERE name = 'collected_at'");
  }
  EXPECT_EQ(process.run(collect_garbage(process.store(), at_most(1), hourly)).size(), 2U)
      << "a clock that was set back is no reason to wait";
}

TEST_F(GarbageTest, WhatTheTimeDoesNotSufficeForIsForTheNextTime) {
  auto const layers = leave_layers(2);
  {
    StoreProcess process(root);
    GcLimits const none{.interval = 0ms, .time = 0ms};
    EXPECT_THAT(process.run(collect_garbage(process.store(), at_most(1), none)), IsEmpty());
    EXPECT_TRUE(has_files(layers[0]));
    EXPECT_EQ(process.run(collect_garbage(process.store(), at_most(1), kAtOnce)).size(), 2U);
  }
  // As if that had ended before the files were removed.
  auto const discarded = root / "ingest" / (std::string(kDiscarded) + "x");
  std::filesystem::create_directories(discarded / "1" / "fs");
  StoreProcess process(root);
  process.run(process.store().flush());
  EXPECT_FALSE(std::filesystem::exists(discarded));
}

TEST_F(GarbageTest, TwoDoNotEmptyOneDirectory) {
  StoreProcess process(root);
  auto const discarded = root / "ingest" / (std::string(kDiscarded) + "x");
  std::filesystem::create_directories(discarded / "1" / "fs");
  {
    UniqueFd const other = open_file(discarded, O_RDONLY | O_DIRECTORY);
    ASSERT_EQ(::flock(other.get(), LOCK_EX | LOCK_NB), 0);
    process.run(process.store().flush());
    EXPECT_TRUE(std::filesystem::exists(discarded / "1" / "fs"));
  }
  process.run(process.store().flush());
  EXPECT_FALSE(std::filesystem::exists(discarded));
}

TEST_F(GarbageTest, WhatADeadCollectorLeftGoesWithTheNextBuild) {
  StoreProcess process(root);
  std::filesystem::create_directories(root / "snapshots" / "999" / "fs");
  process.run(process.store().flush());
  EXPECT_TRUE(has_files(LayerId{999})) << "nobody has died";
  write_text(root / "leases" / "0123456789abcdef", "");
  process.run(process.store().flush());
  EXPECT_FALSE(has_files(LayerId{999}));
  EXPECT_TRUE(std::filesystem::is_empty(root / "ingest" / process.store().impl().lease.name()));
}

TEST_F(GarbageTest, WhatIsEasilyHadAgainGoesAfterTwoDays) {  // F5.5.12
  {
    StoreProcess process(root);
    LayerAttributes local;
    local.kind = RecordKind::kLocalSource;
    add_layer(process, std::string(400'000, 'l'), local);
    add_layer(process, std::string(400'000, 'r'));
    auto const cache = process.run(process.store().cache_mount("pip", "pip"));
    write_text(cache / "wheel", std::string(400'000, 'w'));
  }
  // The limit is of all that the store has.
  {
    Database database(root / "store.db", std::chrono::seconds(1));
    database.run("UPDATE layers SET size = 600000000 WHERE kind = 0");
  }
  StoreProcess process(root);
  EXPECT_THAT(process.run(collect_garbage(process.store(), {}, kAtOnce)), IsEmpty());
  set_last_use("layers", 49h);
  auto removed = process.run(collect_garbage(process.store(), {}, kAtOnce));
  ASSERT_EQ(removed.size(), 1U);
  EXPECT_EQ(removed[0].kind, RecordKind::kLocalSource);
  set_last_use("caches", 49h);
  removed = process.run(collect_garbage(process.store(), {}, kAtOnce));
  ASSERT_EQ(removed.size(), 1U);
  EXPECT_EQ(removed[0].kind, RecordKind::kCacheMount);
  set_last_use("layers", 24h * 61);
  EXPECT_THAT(process.run(collect_garbage(process.store(), {}, kAtOnce)), IsEmpty())
      << "the disk has room for it";
}

TEST_F(GarbageTest, AFullDiskMakesRoom) {
  leave_layers(4);
  StoreProcess process(root);
  process.store().impl().disk = [](const std::filesystem::path&) {
    return DiskStat{.total = 1'000'000'000, .free = 1'000};
  };
  GcConfig config;
  config.min_free.bytes = 151'000;
  EXPECT_EQ(process.run(collect_garbage(process.store(), config, kAtOnce)).size(), 2U);
  config.reserved.bytes = 1'000'000;
  EXPECT_THAT(process.run(collect_garbage(process.store(), config, kAtOnce)), IsEmpty())
      << "so much may always be used";
}

TEST_F(GarbageTest, AWrongFilterIsAnError) {
  StoreProcess process(root);
  GcConfig config;
  config.rules.push_back({});
  config.rules[0].filters = {"id="};
  EXPECT_THROW(process.run(collect_garbage(process.store(), config, kAtOnce)), Error);
}

// ---- blobs

TEST_F(GarbageTest, AFormLivesAsLongAsItsLayer) {
  BlobDigest const form(Digest::of("form"));
  LayerId layer;
  {
    StoreProcess process(root);
    layer = add_layer(process, "x");
    write_blob(process, "form");
    process.store().put_layer_note(layer, "estargz", "...", form);
    process.run(process.store().publish());
  }
  StoreProcess process(root);
  PruneOptions none;
  none.filters = {"id==none"};
  process.run(prune(process.store(), none));
  EXPECT_TRUE(process.store().has_blob(form));
  auto const records = process.run(disk_usage(process.store(), {}));
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].size % 512, 4) << "its bytes count";
  EXPECT_EQ(process.run(collect_garbage(process.store(), at_most(1), kAtOnce)).size(), 1U);
  EXPECT_FALSE(process.store().has_blob(form));
  EXPECT_TRUE(std::filesystem::is_empty(root / "blobs" / "sha256"));
}

TEST_F(GarbageTest, BlobsStayWhileSomebodyMayReadThem) {
  {
    StoreProcess process(root);
    LayerId const layer = add_layer(process, "x");
    write_blob(process, "blob");
    process.run(process.store().set_sealed(layer, DiffId(Digest::of("d")),
                                           {BlobDigest(Digest::of("blob")), 4, "m", {}, true}));
  }
  StoreProcess process(root);
  {
    StoreProcess other(root);
    EXPECT_EQ(process.run(collect_garbage(process.store(), at_most(1), kAtOnce)).size(), 1U);
    EXPECT_TRUE(process.store().has_blob(BlobDigest(Digest::of("blob"))));
  }
  leave_layers(1);
  EXPECT_EQ(process.run(collect_garbage(process.store(), at_most(1), kAtOnce)).size(), 1U);
  EXPECT_FALSE(process.store().has_blob(BlobDigest(Digest::of("blob"))))
      << "what was left behind goes with the next";
}

TEST_F(GarbageTest, KeysThatLeadNowhereGo) {
  auto const layers = leave_layers(2);
  {
    StoreProcess process(root);
    KeyIndex index(process.store());
    KeyId at = index.add_root(Digest::of("root"));
    for (int i = 0; i < 5; ++i) {
      KeyId const next = index.add_key(Digest::of("key" + std::to_string(i)));
      index.add_link(at, {0, Digest::of("op"), std::nullopt}, next);
      at = next;
    }
    index.add_result(at, {{layers[0]}, now(), ""});
    index.add_result(index.add_root(Digest::of("other")), {{layers[1]}, now(), ""});
    process.run(process.store().publish());
    set_last_use("layers", 1h);
    ASSERT_TRUE(process.run(process.store().use({layers[1]})));
  }
  StoreProcess process(root);
  ASSERT_EQ(process.run(collect_garbage(process.store(), at_most(110'000), kAtOnce)).size(), 1U);
  Database database(root / "store.db", std::chrono::seconds(1));
  Query keys = database.query("SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM links)");
  ASSERT_TRUE(keys.next());
  EXPECT_EQ(keys.integer(0), 1);
  EXPECT_EQ(keys.integer(1), 0);
}

}  // namespace
}  // namespace cobuild::store
