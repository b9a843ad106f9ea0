#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <chrono>
#include <fstream>
#include <random>
#include <thread>

#include "core/async/concurrency.hpp"
#include "core/async/context.hpp"
#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "support/run_task.hpp"

namespace cobuild {
namespace {

using namespace std::chrono_literals;

Task<void> sleep_for(std::chrono::microseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(duration);
  co_await timer.async_wait(asio::use_awaitable);
}

struct Gauge {
  int now = 0;
  int most = 0;
  int finished = 0;
  int started = 0;
};

class InGauge {
 public:
  explicit InGauge(Gauge& gauge) : gauge_(gauge) {
    ++gauge_.started;
    gauge_.most = std::max(gauge_.most, ++gauge_.now);
  }
  ~InGauge() {
    --gauge_.now;
    ++gauge_.finished;
  }

 private:
  Gauge& gauge_;
};

Task<void> visit(Gauge& gauge, int item, int failing) {
  InGauge in(gauge);
  if (item == failing && failing % 2 == 1) throw Error(ErrorKind::kCorrupt, "at once");
  if (item % 5 == 4) co_return;  // A cache hit: finishes without ever suspending.
  co_await sleep_for(200us);
  if (item == failing) throw Error(ErrorKind::kCorrupt, "item " + std::to_string(item));
  co_await sleep_for(200us);
}

std::vector<int> numbers(int count) {
  std::vector<int> items;
  for (int i = 0; i < count; ++i) items.push_back(i);
  return items;
}

Task<void> bounded(Gauge& gauge, int count, std::size_t limit, int failing) {
  auto each = [&](int item) { return visit(gauge, item, failing); };
  co_await for_each_bounded(numbers(count), limit, each);
}

TEST(ForEachBounded, RunsAllWithinTheLimit) {
  Gauge gauge;
  test::run(bounded(gauge, 20, 3, -1));
  EXPECT_EQ(gauge.finished, 20);
  EXPECT_EQ(gauge.most, 3);
}

TEST(ForEachBounded, NoItemsIsDoneAtOnce) {
  Gauge gauge;
  test::run(bounded(gauge, 0, 3, -1));
  EXPECT_EQ(gauge.started, 0);
}

TEST(ForEachBounded, FirstFailureCancelsAndJoinsTheRest) {
  Gauge gauge;
  try {
    test::run(bounded(gauge, 20, 4, 2));
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "item 2");
  }
  EXPECT_EQ(gauge.now, 0) << "a child outlived the group";
  EXPECT_EQ(gauge.started, gauge.finished);
  EXPECT_LT(gauge.started, 20) << "kept starting items after a failure";
}

TEST(ForEachBounded, CancellingTheCallerCancelsAndJoins) {
  asio::io_context io(1);
  Gauge gauge;
  asio::cancellation_signal signal;
  std::optional<std::exception_ptr> outcome;
  asio::co_spawn(
      io, bounded(gauge, 1000, 4, -1),
      asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e) { outcome = e; }));
  asio::steady_timer timer(io, 2ms);
  timer.async_wait([&](auto) { signal.emit(asio::cancellation_type::terminal); });
  io.run();
  ASSERT_TRUE(outcome.has_value());
  ASSERT_TRUE(*outcome);
  try {
    std::rethrow_exception(*outcome);
  } catch (const boost::system::system_error& e) {
    EXPECT_TRUE(is_cancelled(e));
  }
  EXPECT_EQ(gauge.now, 0);
  EXPECT_LT(gauge.started, 1000);
}

// A seeded storm: random sizes, limits, failing items and cancellation times. What must hold is
// only the contract: all joined, never above the limit, and exactly one outcome.
class ForEachBoundedStorm : public testing::TestWithParam<unsigned> {};

TEST_P(ForEachBoundedStorm, KeepsItsContract) {
  std::mt19937 random(GetParam());
  for (int round = 0; round < 60; ++round) {
    int count = static_cast<int>(random() % 40);
    std::size_t limit = 1 + random() % 8;
    int failing = random() % 3 == 0 ? static_cast<int>(random() % 40) : -1;
    bool cancel = random() % 3 == 0;
    SCOPED_TRACE(testing::Message() << "seed " << GetParam() << " round " << round << " count "
                                    << count << " limit " << limit << " failing " << failing);
    asio::io_context io(1);
    Gauge gauge;
    asio::cancellation_signal signal;
    int outcomes = 0;
    asio::co_spawn(
        io, bounded(gauge, count, limit, failing),
        asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr) { ++outcomes; }));
    asio::steady_timer timer(io, std::chrono::microseconds(random() % 1500));
    if (cancel) timer.async_wait([&](auto) { signal.emit(asio::cancellation_type::terminal); });
    io.run();
    EXPECT_EQ(outcomes, 1);
    EXPECT_EQ(gauge.now, 0);
    EXPECT_LE(gauge.most, static_cast<int>(limit));
  }
}
INSTANTIATE_TEST_SUITE_P(Seeds, ForEachBoundedStorm, testing::Range(0u, 8u));

Task<void> offload_some(asio::thread_pool& pool) {
  auto home = std::this_thread::get_id();
  std::string text(1000, 'x');
  auto work = [text] { return std::pair(text.size(), std::this_thread::get_id()); };
  auto [size, where] = co_await offload(pool, std::move(work));
  EXPECT_EQ(size, 1000u);
  EXPECT_NE(where, home);
  EXPECT_EQ(std::this_thread::get_id(), home);
  auto failing = []() -> int { throw Error(ErrorKind::kCorrupt, "bad gzip"); };
  bool threw = false;
  try {
    (void)co_await offload(pool, failing);
  } catch (const Error& e) {
    threw = true;
    EXPECT_EQ(e.kind(), ErrorKind::kCorrupt);
  }
  EXPECT_TRUE(threw);
  EXPECT_EQ(std::this_thread::get_id(), home);
}

TEST(Offload, RunsElsewhereAndComesHome) {
  asio::thread_pool pool(2);
  test::run(offload_some(pool));
  pool.join();
}

/// Tells where and when it goes.
struct Owned {
  explicit Owned(std::atomic<bool>& g) : gone(&g) {}
  Owned(Owned&& other) noexcept : gone(std::exchange(other.gone, nullptr)) {}
  ~Owned() {
    if (gone) *gone = true;
  }
  std::atomic<bool>* gone;
};

Task<void> offload_and_look(asio::thread_pool& pool) {
  std::atomic<bool> gone = false;
  auto work = [owned = Owned(gone)] { return owned.gone != nullptr; };
  EXPECT_TRUE(co_await offload(pool, std::move(work)));
  EXPECT_TRUE(gone) << "what the work owned outlived it, and may race with what we do next";
}

TEST(Offload, WhatTheWorkOwnsIsGoneBeforeItsCallerGoesOn) {
  asio::thread_pool pool(2);
  for (int i = 0; i < 200; ++i) test::run(offload_and_look(pool));
  pool.join();
}

struct NoDefault {
  explicit NoDefault(int v) : value(v) {}
  int value;
};

Task<NoDefault> answer_after(std::chrono::microseconds delay, bool& cleaned_up) {
  struct Guard {
    bool& flag;
    ~Guard() { flag = true; }
  } guard{cleaned_up};
  if (delay.count() > 0) co_await sleep_for(delay);
  co_return NoDefault(42);
}

Task<NoDefault> fail_after(std::chrono::microseconds delay) {
  co_await sleep_for(delay);
  throw Error(ErrorKind::kDenied, "401");
}

Task<void> check_with_timeout() {
  using clock = std::chrono::steady_clock;
  bool cleaned_up = false;
  auto at_once = co_await with_timeout(answer_after(0us, cleaned_up), 1s);
  EXPECT_EQ(at_once.value, 42);
  auto soon = co_await with_timeout(answer_after(300us, cleaned_up), 1s);
  EXPECT_EQ(soon.value, 42);

  cleaned_up = false;
  auto start = clock::now();
  ErrorKind kind = ErrorKind::kInternal;
  try {
    (void)co_await with_timeout(answer_after(5s, cleaned_up), 2ms);
  } catch (const Error& e) {
    kind = e.kind();
  }
  EXPECT_EQ(kind, ErrorKind::kUnavailable);
  EXPECT_TRUE(cleaned_up) << "the task was not joined";
  EXPECT_LT(clock::now() - start, 2s);

  start = clock::now();
  try {
    (void)co_await with_timeout(fail_after(300us), 5s);
  } catch (const Error& e) {
    kind = e.kind();
  }
  EXPECT_EQ(kind, ErrorKind::kDenied) << "the task's own failure was lost";
  EXPECT_LT(clock::now() - start, 2s) << "a failure was held back until the timer ran";
}

TEST(WithTimeout, KeepsItsContract) {
  test::run(check_with_timeout());
}

Task<void> timed(bool& cleaned_up) {
  (void)co_await with_timeout(answer_after(5s, cleaned_up), 10s);
}

TEST(WithTimeout, CancellingTheCallerIsNotATimeOut) {
  asio::io_context io(1);
  bool cleaned_up = false;
  asio::cancellation_signal signal;
  std::optional<std::exception_ptr> outcome;
  asio::co_spawn(
      io, timed(cleaned_up),
      asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e) { outcome = e; }));
  asio::steady_timer timer(io, 1ms);
  timer.async_wait([&](auto) { signal.emit(asio::cancellation_type::terminal); });
  io.run();
  ASSERT_TRUE(outcome && *outcome);
  EXPECT_THROW(std::rethrow_exception(*outcome), boost::system::system_error);
  EXPECT_TRUE(cleaned_up);
}

// A RUN step that is cancelled still has to stop and delete its container, which takes awaiting.
Task<void> step_with_cleanup(bool& container_deleted) {
  std::exception_ptr failure;
  try {
    co_await sleep_for(5s);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await with_timeout(sleep_for(300us), 5s);
  container_deleted = true;
  if (failure) std::rethrow_exception(failure);
}

TEST(Cancellation, CleanupMayAwaitAfterResettingTheState) {
  asio::io_context io(1);
  bool container_deleted = false;
  asio::cancellation_signal signal;
  std::optional<std::exception_ptr> outcome;
  asio::co_spawn(
      io, step_with_cleanup(container_deleted),
      asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr e) { outcome = e; }));
  asio::steady_timer timer(io, 1ms);
  timer.async_wait([&](auto) { signal.emit(asio::cancellation_type::terminal); });
  io.run();
  ASSERT_TRUE(outcome && *outcome);
  EXPECT_TRUE(container_deleted);
}

Task<void> fails_with(std::exception_ptr error) {
  co_await asio::post(asio::use_awaitable);
  std::rethrow_exception(error);
}

Task<void> pull(std::exception_ptr error) {
  auto what = [] { return std::string("pulling alpine:3.19"); };
  co_await in_context(fails_with(error), what);
}

TEST(Error, ContextIsAddedToACopySoWaitersDoNotSeeEachOthers) {
  auto shared = std::make_exception_ptr(Error(ErrorKind::kCorrupt, "digest mismatch"));
  for (int waiter = 0; waiter < 3; ++waiter) {
    try {
      test::run(pull(shared));
      FAIL();
    } catch (const Error& e) {
      EXPECT_STREQ(e.what(), "pulling alpine:3.19: digest mismatch");
      ASSERT_EQ(e.frames().size(), 2u);
      EXPECT_TRUE(std::string(e.frames()[0].where.file_name()).ends_with("core_test.cpp"));
    }
  }
}

TEST(Error, CancellationPassesThroughUntouched) {
  auto aborted =
      std::make_exception_ptr(boost::system::system_error(asio::error::operation_aborted));
  EXPECT_THROW(test::run(pull(aborted)), boost::system::system_error);
}

TEST(Digest, RoundTrips) {
  auto digest = Digest::of(std::as_bytes(std::span("test", 4)));
  EXPECT_EQ(digest.hex(), "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08");
  EXPECT_EQ(Digest::parse(digest.to_string()), digest);
  static_assert(!std::is_convertible_v<BlobDigest, DiffId>);
  static_assert(!std::is_constructible_v<DiffId, BlobDigest>);
  static_assert(!std::is_convertible_v<Digest, BlobDigest>);
}

TEST(TempDir, IsRemovedUnlessCommitted) {
  auto base = TempDir::create(std::filesystem::temp_directory_path(), "cobuild-test-");
  std::filesystem::path gone;
  {
    auto dir = TempDir::create(base.path(), "a-");
    std::ofstream(dir.path() / "f") << "x";
    gone = dir.path();
    auto moved = std::move(dir);
    EXPECT_TRUE(std::filesystem::exists(gone));
  }
  EXPECT_FALSE(std::filesystem::exists(gone));
  auto kept = TempDir::create(base.path(), "b-");
  kept.commit_as(base.path() / "kept");
  kept = TempDir::create(base.path(), "c-");
  EXPECT_TRUE(std::filesystem::exists(base.path() / "kept"));
}

TEST(UniqueFd, ClosesOnceAndReportsOpenFailures) {
  int raw;
  {
    auto fd = open_file("/dev/null", O_RDONLY);
    raw = fd.get();
    UniqueFd other = std::move(fd);
    EXPECT_FALSE(fd);
    EXPECT_TRUE(other);
    EXPECT_TRUE(::fcntl(raw, F_GETFD) & FD_CLOEXEC);
  }
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
  try {
    (void)open_file("/no/such", O_RDONLY);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kNotFound);
    EXPECT_STREQ(e.what(), "open /no/such: No such file or directory");
  }
}

TEST(Mount, BindsAndUnmounts) {
  auto base = TempDir::create(std::filesystem::temp_directory_path(), "cobuild-mnt-");
  auto source = base.path() / "s", target = base.path() / "t";
  std::filesystem::create_directories(source);
  std::filesystem::create_directories(target);
  std::ofstream(source / "f") << "x";
  try {
    auto mount = Mount::bind(source, target);
    EXPECT_TRUE(std::filesystem::exists(target / "f"));
    mount.unmount();
    EXPECT_FALSE(std::filesystem::exists(target / "f"));
    {
      auto again = Mount::bind(source, target);
    }
    EXPECT_FALSE(std::filesystem::exists(target / "f"));
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::kDenied) GTEST_SKIP() << e.what();
    throw;
  }
}

}  // namespace
}  // namespace cobuild
