// Power cuts, clean ends of a boot, and moves to another machine: all are another boot, as the
// store sees it.

#include "core/store/durability.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <chrono>

#include "core/async/context.hpp"
#include "core/store/key_index.hpp"
#include "core/store/schema.hpp"
#include "core/store/store_impl.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::store {
namespace {

using test::add_layer;
using test::chain_id;
using test::read_text;
using test::StoreProcess;
using test::StoreTest;
using test::write_blob;
using test::write_text;

constexpr std::int64_t kLittle = 0;
constexpr std::int64_t kMuch = kUnwrittenBytesMax + 1;

LayerBlob pulled_blob() {
  return {BlobDigest(Digest::of("gz")),
          2,
          "application/vnd.oci.image.layer.v1.tar+gzip",
          {"docker.io/library/a"},
          false};
}

class DurabilityTest : public StoreTest {
 protected:
  /// The end of a build at which the kernel has `bytes` to write.
  static void flush(StoreProcess& process, std::optional<std::int64_t> bytes) {
    process.store().impl().unwritten = [bytes] { return bytes; };
    process.run(process.store().flush());
  }

  /// A process of the next boot.
  std::unique_ptr<StoreProcess> reboot(std::int64_t unwritten = kMuch) {
    {
      Database database(root / "store.db", std::chrono::seconds(1));
      database.run("UPDATE state SET value = 'an earlier boot' WHERE name = 'boot'");
    }
    auto process = std::make_unique<StoreProcess>(root);
    process->store().impl().unwritten = [unwritten] { return unwritten; };
    return process;
  }

  struct Row {
    std::int64_t unsynced = -1;
    bool has_checksum = false;
    friend bool operator==(const Row&, const Row&) = default;
    friend void PrintTo(const Row& row, std::ostream* out) {
      *out << row.unsynced << (row.has_checksum ? " with" : " without") << " checksum";
    }
  };
  [[nodiscard]] Row row(LayerId id) const {
    Database database(root / "store.db", std::chrono::seconds(1));
    Query found = database.query("SELECT unsynced, checksum FROM layers WHERE id = ?", {id.value});
    if (!found.next()) return {};
    return {found.integer(0), !found.is_null(1)};
  }

  [[nodiscard]] std::filesystem::path file_of(LayerId id) const {
    return root / "snapshots" / std::to_string(id.value) / "fs" / "file";
  }

  static LayerId pull_layer(StoreProcess& process) {
    LayerId const id =
        process.run(process.store().add_remote_layer(chain_id("c"), {.blob = pulled_blob()}));
    NewLayer files = process.store().new_layer();
    write_text(files.fs() / "file", "pulled");
    process.run(process.store().commit_snapshot(id, std::move(files)));
    return id;
  }

  static constexpr Row kForgotten{-1, false};
  static constexpr Row kSettled{0, false};
  static constexpr Row kUnlookedAt{1, false};
  static constexpr Row kChecked{1, true};
  static constexpr Row kSuspected{kSuspect, true};
};

// ---- the end of a build

TEST_F(DurabilityTest, LittleToWriteIsWaitedFor) {
  StoreProcess process(root);
  LayerId const id = add_layer(process, "x");
  EXPECT_EQ(row(id), kUnlookedAt);
  flush(process, kUnwrittenBytesMax);
  EXPECT_EQ(row(id), kSettled);
}

TEST_F(DurabilityTest, MuchToWriteIsNotWaitedForButChecked) {
  StoreProcess process(root);
  LayerId const id = add_layer(process, "x");
  flush(process, kMuch);
  EXPECT_EQ(row(id), kChecked);
  LayerId const next = add_layer(process, "y");
  flush(process, kLittle);
  EXPECT_EQ(row(id), kSettled) << "a later build settles it";
  EXPECT_EQ(row(next), kSettled);
}

TEST_F(DurabilityTest, WhereTheKernelDoesNotSayItIsWaitedFor) {
  StoreProcess process(root);
  LayerId const id = add_layer(process, "x");
  flush(process, std::nullopt);
  EXPECT_EQ(row(id), kSettled);
}

TEST_F(DurabilityTest, WithNothingToSettleNobodyAsks) {
  StoreProcess process(root);
  add_layer(process, "x");
  flush(process, kLittle);
  process.store().impl().unwritten = []() -> std::optional<std::int64_t> {
    ADD_FAILURE() << "asked how much is left to write";
    return kMuch;
  };
  process.run(process.store().flush());
}

TEST_F(DurabilityTest, ALayerThatCannotBeCheckedIsWaitedFor) {
  StoreProcess process(root);
  NewLayer layer = process.store().new_layer();
  UniqueFd at = open_file(layer.fs(), O_RDONLY | O_DIRECTORY);
  std::string const name(200, 'd');
  for (int depth = 0; depth < 30; ++depth) {  // deeper than a path can be long
    ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0755), 0);
    at = UniqueFd(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(at);
  }
  LayerId const id = process.run(process.store().commit_layer(std::move(layer), {}));
  flush(process, kMuch);
  EXPECT_EQ(row(id), kSettled);
}

TEST_F(DurabilityTest, WhatAKilledProcessLeftIsCheckedByTheNextBuild) {
  LayerId left;
  {
    StoreProcess process(root);
    left = add_layer(process, "of a build that failed");
  }
  EXPECT_EQ(row(left), kUnlookedAt);
  StoreProcess process(root);
  LayerId const own = add_layer(process, "own");
  process.store().impl().leftovers_time = std::chrono::milliseconds(0);
  flush(process, kMuch);
  EXPECT_EQ(row(own), kChecked);
  EXPECT_EQ(row(left), kUnlookedAt) << "no time for others";
  process.store().impl().leftovers_time = std::chrono::hours(1);
  flush(process, kMuch);
  EXPECT_EQ(row(left), kChecked);
}

TEST_F(DurabilityTest, WhereBootsHaveNoNamesItIsWaitedFor) {
  StoreProcess process(root);
  LayerId const id = add_layer(process, "x");
  process.store().impl().boot = "";
  flush(process, kMuch);
  EXPECT_EQ(row(id), kSettled);
}

TEST_F(DurabilityTest, MoreToReadThanIsWorthItIsWaitedFor) {
  StoreProcess process(root);
  LayerId const id = add_layer(process, std::string(1000, 'x'));
  process.store().impl().available = [] { return std::int64_t{1998}; };
  flush(process, kMuch);
  EXPECT_EQ(row(id), kSettled);
  LayerId const next = add_layer(process, std::string(999, 'x'));
  flush(process, kMuch);
  EXPECT_EQ(row(next), kChecked);
}

TEST(BytesWorthReading, AreBoundByMemoryAndByWhatWritingTakes) {
  EXPECT_EQ(bytes_worth_reading(100, 1000000), 100 * kReadPerUnwritten);
  EXPECT_EQ(bytes_worth_reading(1000000, 100), 50);
}

TEST_F(DurabilityTest, CancellingTheEndLeavesRowsAsTheyAre) {
  StoreProcess process(root);
  LayerId const id = add_layer(process, "x");
  for (std::int64_t const unwritten : {kMuch, kLittle}) {
    process.store().impl().unwritten = [unwritten] { return unwritten; };
    asio::cancellation_signal cancel;
    std::optional<std::exception_ptr> outcome;
    asio::co_spawn(
        process.loop(), process.store().flush(),
        asio::bind_cancellation_slot(
            cancel.slot(), [&](std::exception_ptr error) { outcome = std::move(error); }));
    process.loop().restart();
    process.loop().run_one();
    cancel.emit(asio::cancellation_type::all);
    process.loop().run();
    ASSERT_TRUE(outcome && *outcome) << "it went on";
    EXPECT_TRUE(is_cancellation(*outcome));
    EXPECT_EQ(row(id), kUnlookedAt);
  }
  flush(process, kLittle);
  EXPECT_EQ(row(id), kSettled);
}

TEST(Meminfo, IsRead) {
  auto const unwritten = [](std::string_view text) {
    return parse_meminfo_bytes(text, {"Dirty", "Writeback"});
  };
  EXPECT_EQ(unwritten("MemTotal: 9 kB\nDirty:          12 kB\nWriteback:  3 kB\n"), 15 << 10);
  EXPECT_EQ(unwritten("MemTotal: 9 kB\nDirty: 0 kB\nWriteback: 0 kB\nWritebackTmp: 7"), 0);
  for (const char* text :
       {"", "\nDirty:", "\nDirty: 1 kB\n", "\nDirty: x kB\nWriteback: 1 kB\n",
        "\nDirty: -1 kB\nWriteback: 1 kB\n", "\nDirty: 99999999999999999999 kB\nWriteback: 1 kB\n",
        "\nDirty: 9000000000000000000 kB\nWriteback: 1 kB\n"}) {
    EXPECT_EQ(unwritten(text), std::nullopt) << text;
  }
}

// ---- the next boot

TEST_F(DurabilityTest, WhatWasNotSyncedIsForgottenInTheNextBoot) {
  LayerId synced;
  LayerId unsynced;
  LayerId pulled;
  {
    StoreProcess process(root);
    synced = add_layer(process, "synced");
    write_blob(process, "synced blob");
    flush(process, kLittle);
    unsynced = add_layer(process, "unsynced");
    write_blob(process, "unsynced blob");
    pulled = pull_layer(process);
    NewBlob partial = process.run(process.store().new_blob(BlobDigest(Digest::of("partial"))));
    ASSERT_EQ(::write(partial.fd(), "par", 3), 3);
  }
  auto process = reboot();
  Store& store = process->store();
  EXPECT_TRUE(process->run(store.use({synced})));
  EXPECT_TRUE(store.has_blob(BlobDigest(Digest::of("synced blob"))));
  EXPECT_FALSE(process->run(store.use({unsynced})));
  EXPECT_FALSE(store.has_blob(BlobDigest(Digest::of("unsynced blob"))));
  EXPECT_TRUE(process->run(store.use({pulled}))) << "it can be pulled again";
  EXPECT_FALSE(store.get_layer(pulled).has_snapshot);
  EXPECT_FALSE(process->run(store.confirm_snapshot(pulled)));
  EXPECT_EQ(process->run(store.new_blob(BlobDigest(Digest::of("partial")))).offset(), 0);
  EXPECT_NE(add_layer(*process, "next"), unsynced) << "ids never come again";
}

TEST_F(DurabilityTest, FilesOfForgottenLayersGoWithTheNextBuild) {
  std::vector<LayerId> ids;
  {
    StoreProcess process(root);
    ids.push_back(add_layer(process, "without a checksum"));
    ids.push_back(pull_layer(process));
    ids.push_back(add_layer(process, "damaged"));
    process.run(process.store().publish());
    Database database(root / "store.db", std::chrono::seconds(1));
    database.run("UPDATE layers SET checksum = 'of other files' WHERE id = ?", {ids[2].value});
  }
  auto const process = reboot();
  EXPECT_FALSE(process->run(process->store().use({ids[2]})));
  for (LayerId const id : ids) EXPECT_FALSE(std::filesystem::exists(file_of(id))) << id.value;
  flush(*process, kLittle);
  for (const auto& entry : std::filesystem::directory_iterator(root / "ingest")) {
    EXPECT_FALSE(entry.path().filename().string().starts_with(kDiscarded)) << entry.path();
  }
}

TEST_F(DurabilityTest, CheckedLayersSurviveAndBlobsDoNot) {
  LayerId made;
  LayerId pulled;
  {
    StoreProcess process(root);
    made = add_layer(process, "made");
    pulled = pull_layer(process);
    write_blob(process, "blob");
    flush(process, kMuch);
  }
  auto process = reboot();
  Store& store = process->store();
  EXPECT_FALSE(store.has_blob(BlobDigest(Digest::of("blob"))));
  EXPECT_EQ(row(made), kSuspected);
  EXPECT_TRUE(process->run(store.use({pulled, made})));
  EXPECT_EQ(row(made), kChecked);
  EXPECT_TRUE(store.get_layer(made).has_snapshot);
  EXPECT_EQ(row(pulled), kSuspected) << "its files may never be needed";
  EXPECT_FALSE(store.get_layer(pulled).has_snapshot) << "not before it is confirmed";
  EXPECT_TRUE(process->run(store.confirm_snapshot(pulled)));
  EXPECT_TRUE(store.get_layer(pulled).has_snapshot);
  EXPECT_EQ(read_text(file_of(pulled)), "pulled");
}

TEST_F(DurabilityTest, ADamagedLayerIsMissedWithItsResults) {
  LayerId whole;
  LayerId damaged;
  Digest const op = Digest::of("op");
  {
    StoreProcess process(root);
    whole = add_layer(process, "whole");
    damaged = add_layer(process, "damaged");
    KeyIndex index(process.store());
    KeyId const key = index.add_root(op);
    index.add_result(key, {{whole, damaged}, now(), ""});
    index.add_result(key, {{whole}, now(), ""});
    flush(process, kMuch);
  }
  std::filesystem::resize_file(file_of(damaged), 0);
  auto process = reboot();
  KeyIndex index(process->store());
  auto const key = index.find_root(op);
  ASSERT_TRUE(key.has_value());
  EXPECT_EQ(index.results(*key).size(), 2U);
  EXPECT_FALSE(process->run(process->store().use({whole, damaged})));
  EXPECT_EQ(row(damaged), kForgotten);
  auto const results = index.results(*key);
  ASSERT_EQ(results.size(), 1U);
  EXPECT_EQ(results[0].chain, LayerChain{whole});
  EXPECT_TRUE(process->run(process->store().use({whole})));
}

TEST_F(DurabilityTest, AMissingDirectoryOfALayerIsAMiss) {
  LayerId id;
  {
    StoreProcess process(root);
    id = add_layer(process, "x");
    flush(process, kMuch);
  }
  std::filesystem::remove_all(root / "snapshots" / std::to_string(id.value));
  auto process = reboot();
  EXPECT_FALSE(process->run(process->store().use({id})));
  EXPECT_EQ(row(id), kForgotten);
}

TEST_F(DurabilityTest, ADamagedPulledLayerIsFetchedAgain) {
  LayerId pulled;
  {
    StoreProcess process(root);
    pulled = pull_layer(process);
    flush(process, kMuch);
  }
  write_text(file_of(pulled), std::string(6, '\0'));
  auto process = reboot();
  Store& store = process->store();
  EXPECT_TRUE(process->run(store.use({pulled})));
  EXPECT_FALSE(process->run(store.confirm_snapshot(pulled)));
  EXPECT_FALSE(store.get_layer(pulled).has_snapshot);
  EXPECT_EQ(row(pulled), kSettled);
  NewLayer files = store.new_layer();
  write_text(files.fs() / "file", "pulled again");
  process->run(store.commit_snapshot(pulled, std::move(files)));
  EXPECT_TRUE(process->run(store.confirm_snapshot(pulled)));
  EXPECT_EQ(read_text(file_of(pulled)), "pulled again");
}

TEST_F(DurabilityTest, APulledLayerThatIsNowhereElseIsLookedAtBeforeUse) {
  LayerId pulled;
  {
    StoreProcess process(root);
    pulled = process.run(process.store().add_remote_layer(chain_id("c"), {}));
    process.run(process.store().commit_snapshot(pulled, process.store().new_layer()));
    flush(process, kMuch);
  }
  write_text(root / "snapshots" / std::to_string(pulled.value) / "fs" / "more", "");
  auto process = reboot();
  EXPECT_FALSE(process->run(process->store().use({pulled})));
  EXPECT_EQ(row(pulled), kForgotten);
}

TEST_F(DurabilityTest, SyncingDoesNotClearASuspectLayer) {
  LayerId suspect;
  {
    StoreProcess process(root);
    suspect = add_layer(process, "x");
    flush(process, kMuch);
  }
  std::filesystem::resize_file(file_of(suspect), 0);
  auto process = reboot();
  add_layer(*process, "new");
  flush(*process, kLittle);
  EXPECT_EQ(row(suspect), kSuspected);
  process.reset();
  process = reboot();
  EXPECT_EQ(row(suspect), kSuspected) << "nor does another boot";
  EXPECT_FALSE(process->run(process->store().use({suspect})));
}

TEST_F(DurabilityTest, AConfirmedLayerIsSuspectAgainUnlessItWasSynced) {
  LayerId id;
  {
    StoreProcess process(root);
    id = add_layer(process, "x");
    flush(process, kMuch);
  }
  auto process = reboot(kMuch);
  EXPECT_TRUE(process->run(process->store().use({id})));
  EXPECT_EQ(row(id), kChecked) << "the store may have been copied here a minute ago";
  process.reset();
  process = reboot(kLittle);
  EXPECT_EQ(row(id), kSuspected);
  EXPECT_TRUE(process->run(process->store().use({id})));
  EXPECT_EQ(row(id), kSettled);
  process.reset();
  process = reboot();
  EXPECT_EQ(row(id), kSettled);
}

TEST_F(DurabilityTest, TwoProcessesMayConfirmAtOnce) {
  LayerId id;
  {
    StoreProcess process(root);
    id = add_layer(process, "x");
    flush(process, kMuch);
  }
  auto one = reboot();
  StoreProcess other(root);
  EXPECT_TRUE(one->run(one->store().use({id})));
  EXPECT_TRUE(other.run(other.store().use({id})));
}

// ---- stores of older versions

TEST_F(DurabilityTest, AStoreOfTheFirstFormatIsUpgraded) {
  LayerId settled;
  LayerId unsynced;
  {
    StoreProcess process(root);
    settled = add_layer(process, "settled");
    flush(process, kLittle);
    unsynced = add_layer(process, "unsynced");
  }
  {
    Database database(root / "store.db", std::chrono::seconds(1));
    database.run("ALTER TABLE layers DROP COLUMN checksum");
    database.run("ALTER TABLE layers DROP COLUMN amends");
    database.run("DROP TABLE layer_forms");
    database.run("PRAGMA user_version=1");
  }
  StoreProcess process(root);
  EXPECT_TRUE(process.run(process.store().use({settled, unsynced})));
  EXPECT_EQ(row(settled), kSettled);
  EXPECT_EQ(row(unsynced), kUnlookedAt);
  flush(process, kMuch);
  EXPECT_EQ(row(unsynced), kChecked);
  Database database(root / "store.db", std::chrono::seconds(1));
  Query version = database.query("PRAGMA user_version");
  ASSERT_TRUE(version.next());
  EXPECT_EQ(version.integer(0), kSchemaVersion);
}

}  // namespace
}  // namespace cobuild::store
