// Real processes that share a store, and are killed at any instant.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "core/store/collect.hpp"
#include "core/store/database.hpp"
#include "core/store/key_index.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::store {
namespace {

using test::add_layer;
using test::read_text;
using test::StoreProcess;
using test::StoreTest;
using test::write_text;

/// A process that adds layers, keys and blobs for as long as it lives. Each thing's content can be
/// told from its row, so that a reader can say whether it is whole.
[[noreturn]] void write_for_ever(const std::filesystem::path& root, unsigned seed) {
  StoreProcess process(root);
  std::mt19937 random(seed);
  for (;;) {
    std::string const content(random() % 20'000, static_cast<char>('a' + random() % 26));
    BlobDigest const digest(Digest::of(content));
    NewBlob blob = process.run(
        process.store().new_blob(random() % 2 == 0 ? std::optional(digest) : std::nullopt));
    if (::ftruncate(blob.fd(), 0) != 0) ::_exit(3);
    if (::pwrite(blob.fd(), content.data(), content.size(), 0) < 0) ::_exit(3);
    process.run(process.store().commit_blob(std::move(blob), digest,
                                            static_cast<std::int64_t>(content.size())));
    NewLayer layer = process.store().new_layer();
    write_text(layer.fs() / "content", content);
    write_text(layer.fs() / "digest", digest.to_string());
    LayerId const id = process.run(
        process.store().commit_layer(std::move(layer), {.description = digest.to_string()}));
    KeyIndex index(process.store());
    KeyId const key = index.add_key(digest.digest());
    index.add_link(index.add_root(Digest::of("root")), {0, digest.digest(), std::nullopt}, key);
    index.add_result(key, {{id}, now(), ""});
    process.store().put_note("crash", digest.to_string(),
                             id.value == 0 ? "" : std::to_string(id.value));
    process.run(process.store().publish());
    if (random() % 8 == 0) {
      PruneOptions options;
      options.max_used_bytes = 200'000;
      process.run(prune(process.store(), options));
    }
  }
}

pid_t start_writer(const std::filesystem::path& root, unsigned seed) {
  pid_t const child = ::fork();
  if (child == 0) {
    try {
      write_for_ever(root, seed);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "writer: %s\n", e.what());
      ::_exit(4);
    }
  }
  return child;
}

void kill_writer(pid_t child) {
  ::kill(child, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status)) << "the writer ended by itself with status " << status;
}

/// Every row names something whole.
void verify(const std::filesystem::path& root) {
  StoreProcess process(root);
  Database database(root / "store.db", std::chrono::seconds(10));
  {
    Query check = database.query("PRAGMA integrity_check");
    ASSERT_TRUE(check.next());
    EXPECT_EQ(check.text(0), "ok");
    check.next();
  }
  Query layers = database.query("SELECT id, description FROM layers");
  while (layers.next()) {
    auto const path = process.store().snapshot_path(LayerId{layers.integer(0)});
    std::string const content = read_text(path / "content");
    EXPECT_EQ(Digest::of(content).to_string(), layers.text(1)) << path;
    EXPECT_EQ(read_text(path / "digest"), layers.text(1));
  }
  Query blobs = database.query("SELECT digest FROM blobs");
  while (blobs.next()) {
    std::string const content = read_text(process.store().blob_path(BlobDigest(blobs.digest(0))));
    EXPECT_EQ(Digest::of(content), blobs.digest(0));
  }
  EXPECT_FALSE(database
                   .query("SELECT 1 FROM result_layers WHERE layer NOT IN (SELECT id FROM layers) "
                          "OR result NOT IN (SELECT id FROM results)")
                   .next());
  // And it can be used.
  LayerId const next = add_layer(process, "after the crash");
  EXPECT_EQ(read_text(process.store().snapshot_path(next) / "file"), "after the crash");
  database.run("DELETE FROM layers WHERE id = ?", {next.value});
}

TEST_F(StoreTest, SlowKillingAWriterAtAnyInstantLeavesAGoodStore) {
  std::random_device device;
  unsigned const seed = device();
  std::mt19937 random(seed);
  for (unsigned round = 0; round < 50; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << " round " << round);
    pid_t const child = start_writer(root, seed + round);
    // Not synchronisation: the instant of death is what is random here.
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 120'000));
    kill_writer(child);
    verify(root);
    if (HasFailure()) break;
  }
  StoreProcess process(root);
  process.run(process.store().flush());
  int left = 0;
  for (const auto& entry : std::filesystem::directory_iterator(root / "leases")) {
    left += entry.exists() ? 1 : 0;
  }
  EXPECT_EQ(left, 1) << "the leases of the dead are gone after a build";
}

TEST_F(StoreTest, SlowTwoWritersAndACollectorShareAStore) {
  pid_t const one = start_writer(root, 1);
  pid_t const other = start_writer(root, 2);
  auto const end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < end) {
    StoreProcess process(root);
    PruneOptions options;
    options.all = true;
    process.run(prune(process.store(), options));
  }
  kill_writer(one);
  kill_writer(other);
  verify(root);
}

TEST_F(StoreTest, ManyProcessesMayMakeOneStoreAtOnce) {
  for (int round = 0; round < 10; ++round) {
    auto const fresh = directory.path() / ("store" + std::to_string(round));
    std::vector<pid_t> children;
    for (int i = 0; i < 6; ++i) {
      pid_t const child = ::fork();
      if (child == 0) {
        try {
          StoreProcess process(fresh);
          add_layer(process, "x");
          ::_exit(0);
        } catch (const std::exception& e) {
          std::fprintf(stderr, "%s\n", e.what());
          ::_exit(4);
        }
      }
      children.push_back(child);
    }
    for (pid_t const child : children) {
      int status = 0;
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    StoreProcess process(fresh);
    EXPECT_EQ(process.run(disk_usage(process.store(), {})).size(), 6U);
  }
}

TEST_F(StoreTest, ALockDiesWithItsProcess) {
  StoreProcess process(root);
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  pid_t const child = ::fork();
  if (child == 0) {
    StoreProcess holder(root);
    auto lock = holder.store().try_lock("key");
    char const answer = lock ? 'y' : 'n';
    if (::write(ready[1], &answer, 1) != 1) ::_exit(3);
    ::pause();
    ::_exit(0);
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
  EXPECT_FALSE(process.store().try_lock("key").has_value());
  kill_writer(child);
  EXPECT_TRUE(process.store().try_lock("key").has_value());
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace cobuild::store
