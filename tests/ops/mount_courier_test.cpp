/// Cache mounts from one store to another, by way of a folder.

#include "ops/mount_courier.hpp"

#include <gmock/gmock.h>

#include <fcntl.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <random>

#include "core/base/error.hpp"
#include "oci/folder_store.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::ops {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class NotingStep final : public solve::StepSink {
 public:
  void log(int, std::string_view) override {}
  void status(std::string_view, std::int64_t, std::int64_t, bool) override {}
  void warn(std::string_view text) override { warnings.emplace_back(text); }
  std::vector<std::string> warnings;
};

/// A folder that counts, and that can be made to fail.
class TestedStore final : public oci::ObjectStore {
 public:
  TestedStore(fs::path directory, asio::thread_pool& pool) : folder_(std::move(directory), pool) {}

  Task<std::optional<oci::ObjectInfo>> find(std::string name) override {
    return folder_.find(std::move(name));
  }
  Task<std::optional<oci::ObjectInfo>> find_newest(std::string prefix) override {
    if (fails) throw Error(ErrorKind::kUnavailable, "nobody answers");
    if (hangs) {
      asio::steady_timer never(co_await asio::this_coro::executor, asio::steady_timer::time_point::max());
      co_await never.async_wait(asio::use_awaitable);
    }
    co_return co_await folder_.find_newest(std::move(prefix));
  }
  Task<void> read(std::string name, std::uint64_t offset, std::uint64_t length,
                  oci::BlobSink& sink) override {
    return folder_.read(std::move(name), offset, length, sink);
  }
  Task<void> write(std::string name, std::uint64_t size, oci::OpenBlob open) override {
    if (name.find("/pack/") != std::string::npos && fails_packs) {
      throw Error(ErrorKind::kDenied, "no room for packs");
    }
    bytes_written += size;
    ++writes;
    return folder_.write(std::move(name), size, std::move(open));
  }

  bool fails = false;
  bool fails_packs = false;
  bool hangs = false;
  std::uint64_t bytes_written = 0;
  int writes = 0;

 private:
  oci::FolderStore folder_;
};

class MountCourierTest : public test::StoreTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "files keep owners, which only root can set";
  }
  ~MountCourierTest() override { pool.join(); }

  MountDepot depot(std::string key = "", std::vector<std::string> restore_keys = {}) {
    return {.objects = objects,
            .name = "local:folder",
            .key = std::move(key),
            .restore_keys = std::move(restore_keys),
            .bytes_max = std::uint64_t{1} << 30,
            .timeout = std::chrono::minutes(5)};
  }

  /// Saves `files` as the cache mount /cache.
  void save(const std::map<std::string, std::string>& files, MountDepot to) {
    fs::path const mount = process.run(process.store().cache_mount("/cache", "a cache"));
    fs::remove_all(mount);
    fs::create_directory(mount);
    for (const auto& [name, text] : files) test::write_text(mount / name, text);
    MountCourier courier(pool, process.store(), {}, {to});
    courier.note_use({"/cache", "/cache", mount});
    process.run(courier.save(courier.destinations().front(), step));
  }

  /// The files that another store gets; nullopt: none.
  std::optional<std::map<std::string, std::string>> restore(std::vector<MountDepot> from) {
    MountCourier courier(pool, other.store(), std::move(from), {});
    auto const layer = other.run(courier.restore("/cache", step));
    if (!layer) return std::nullopt;
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(layer->fs())) {
      files[entry.path().filename()] = test::read_text(entry.path());
    }
    return files;
  }

  static std::string random_text(std::size_t size, unsigned seed) {
    std::mt19937_64 random(seed);
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  }

  using Files = std::map<std::string, std::string>;
  asio::thread_pool pool{2};
  fs::path folder = directory.path() / "folder";
  std::shared_ptr<TestedStore> objects = std::make_shared<TestedStore>(folder, pool);
  test::StoreProcess process{root};
  test::StoreProcess other{directory.path() / "other"};
  NotingStep step;
};

TEST_F(MountCourierTest, AnotherStoreGetsWhatWasSaved) {
  EXPECT_EQ(restore({depot()}), std::nullopt);
  save({{"a", "one"}, {"b", ""}}, depot());
  EXPECT_EQ(restore({depot()}), (Files{{"a", "one"}, {"b", ""}}));
  save({{"a", "two"}}, depot());
  EXPECT_EQ(restore({depot()}), (Files{{"a", "two"}}));
  save({{"a", "one"}, {"b", ""}}, depot());  // As it once was: the newest counts.
  EXPECT_EQ(restore({depot()}), (Files{{"a", "one"}, {"b", ""}}));
  EXPECT_THAT(step.warnings, IsEmpty());
}

TEST_F(MountCourierTest, KeysFallBackByPrefix) {
  save({{"is", "linux-1"}}, depot("linux-1"));
  save({{"is", "linux-1.5"}}, depot("linux-1.5"));
  save({{"is", "mac-1"}}, depot("mac-1"));
  auto const found = [&](MountDepot from) { return restore({std::move(from)}).value_or(Files{}).operator[]("is"); };
  EXPECT_EQ(found(depot("linux-1")), "linux-1") << "the same key before one that begins with it";
  EXPECT_EQ(found(depot("linux-")), "linux-1.5");
  EXPECT_EQ(found(depot("linux-2", {"linux-", "mac-"})), "linux-1.5");
  EXPECT_EQ(found(depot("bsd-2", {"beos-", "mac-"})), "mac-1");
  EXPECT_EQ(found(depot("")), "mac-1");
  EXPECT_EQ(found(depot("bsd", {"beos"})), "");
}

TEST_F(MountCourierTest, OnlyWhatIsNewIsSent) {
  Files files;
  for (unsigned i = 0; i < 100; ++i) files[std::to_string(i)] = random_text(40'000, i);
  save(files, depot("a"));
  std::uint64_t const whole = std::exchange(objects->bytes_written, 0);
  EXPECT_GT(whole, 4'000'000U);
  files["7"] = random_text(40'000, 1000);
  files["93"] = random_text(40'000, 1001);
  save(files, depot("a"));
  EXPECT_LT(objects->bytes_written, whole * 35 / 1000);
  objects->bytes_written = 0;
  save(files, depot("b"));  // Another key shares the packs.
  EXPECT_LT(objects->bytes_written, whole / 100);
  EXPECT_EQ(restore({depot("b")}), files);
}

TEST_F(MountCourierTest, WhatIsThereAlreadyIsNotSent) {
  fs::path const mount = process.run(process.store().cache_mount("/cache", "a cache"));
  test::write_text(mount / "a", "one");
  MountCourier courier(pool, process.store(), {}, {depot()});
  courier.note_use({"/cache", "/cache", mount});
  process.run(courier.save(courier.destinations().front(), step));
  EXPECT_EQ(std::exchange(objects->writes, 0), 2);
  process.run(courier.save(courier.destinations().front(), step));
  EXPECT_EQ(objects->writes, 0);
  // Unless somebody has removed a pack.
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().string().find("%pack%") != std::string::npos) fs::remove(entry.path());
  }
  process.run(courier.save(courier.destinations().front(), step));
  EXPECT_EQ(objects->writes, 2);
  EXPECT_EQ(restore({depot()}), (Files{{"a", "one"}}));
}

TEST_F(MountCourierTest, DamageIsAWarningAndNoFiles) {
  save({{"a", random_text(100'000, 1)}}, depot());
  for (const char* kind : {"%pack%", "%index%"}) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      if (entry.path().string().find(kind) == std::string::npos) continue;
      std::string text = test::read_text(entry.path());
      text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
      test::write_text(entry.path(), text);
    }
    step.warnings.clear();
    EXPECT_EQ(restore({depot()}), std::nullopt);
    EXPECT_THAT(step.warnings, ElementsAre(HasSubstr("was not restored from local:folder")));
  }
  // What is damaged is made anew.
  save({{"a", "new"}}, depot());
  EXPECT_EQ(restore({depot()}), (Files{{"a", "new"}}));
}

TEST_F(MountCourierTest, PlacesThatFailAreWarnings) {
  save({{"a", "one"}}, depot());
  auto const bad = std::make_shared<TestedStore>(directory.path() / "bad", pool);
  bad->fails = true;
  MountDepot failing = depot();
  failing.objects = bad;
  failing.name = "local:bad";
  EXPECT_EQ(restore({failing, depot()}), (Files{{"a", "one"}})) << "the next place has it";
  save({{"a", "two"}}, failing);
  bad->fails = false;
  bad->fails_packs = true;
  save({{"a", "two"}}, failing);
  EXPECT_THAT(step.warnings, ElementsAre(HasSubstr("was not restored from local:bad: nobody answers"),
                                         HasSubstr("was not saved to local:bad: nobody answers"),
                                         HasSubstr("was not saved to local:bad: no room for packs")));
}

TEST_F(MountCourierTest, TimeThatIsUpIsAWarning) {
  objects->hangs = true;
  MountDepot slow = depot();
  slow.timeout = std::chrono::seconds(0);
  EXPECT_EQ(restore({slow}), std::nullopt);
  save({{"a", "one"}}, slow);
  EXPECT_THAT(step.warnings, ElementsAre(HasSubstr("timed out"), HasSubstr("timed out")));
}

TEST_F(MountCourierTest, WhatAnotherBuildHasMountedIsLeftToIt) {
  auto const taken = process.store().try_lock_shared(store::Store::cache_mount_lock("/cache"));
  save({{"a", "one"}}, depot());
  EXPECT_THAT(step.warnings, ElementsAre(HasSubstr("another build is using it")));
  EXPECT_EQ(objects->writes, 0);
}

TEST_F(MountCourierTest, WhatNobodyWillRestoreIsRemoved) {
  MountDepot place = depot("a");
  place.objects = std::make_shared<oci::FolderStore>(folder, pool);
  auto const count = [&](const std::string& kind) {
    auto const is_kind = [&](const auto& entry) { return entry.path().string().find(kind) != std::string::npos; };
    return std::ranges::count_if(fs::directory_iterator(folder), is_kind);
  };
  auto const age = [&] {
    for (const auto& entry : fs::directory_iterator(folder)) {
      fs::last_write_time(entry.path(), entry.last_write_time() - std::chrono::hours(2));
    }
  };
  for (unsigned i = 0; i < 3; ++i) {
    if (i > 0) age();
    save({{"file", random_text(30'000, i)}}, place);
  }
  EXPECT_EQ(count("%index%"), 1) << "older ones of a key are of no use";
  EXPECT_EQ(count("%pack%"), 1);
  age();
  place.key = "b";
  save({{"file", random_text(30'000, 3)}}, place);
  EXPECT_EQ(count("%index%"), 2);
  EXPECT_EQ(count("%pack%"), 2);
  EXPECT_EQ(restore({depot("a")}), (Files{{"file", random_text(30'000, 2)}}));
  EXPECT_EQ(restore({depot("b")}), (Files{{"file", random_text(30'000, 3)}}));
  place.key = "c";
  save({{"file", random_text(30'000, 4)}}, place);
  place.key = "b";
  save({{"file", random_text(30'000, 5)}}, place);
  EXPECT_EQ(count("%index%"), 4) << "what is new may be in use";
  EXPECT_EQ(count("%pack%"), 4);
  EXPECT_THAT(step.warnings, IsEmpty());
}

TEST_F(MountCourierTest, WhatIsTooLargeStays) {
  MountDepot small = depot();
  small.bytes_max = 1000;
  save({{"a", random_text(2000, 1)}}, small);
  EXPECT_EQ(objects->writes, 0);
  save({{"a", random_text(2000, 1)}}, depot());
  EXPECT_EQ(restore({small}), std::nullopt);
  EXPECT_THAT(step.warnings, ElementsAre(HasSubstr("max-size"), HasSubstr("max-size")));
}

}  // namespace
}  // namespace cobuild::ops
