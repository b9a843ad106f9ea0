#include <gtest/gtest.h>

#include <list>
#include <random>

#include "core/async/shared.hpp"
#include "core/base/error.hpp"

#include "async_support.hpp"

namespace cobuild {
namespace {

using test::Gate;
using test::Runner;
using test::settle;

/// A computation under the test's control.
struct Work {
  explicit Work(asio::io_context& io) : gate(io) {}
  Gate gate;
  int runs = 0;
  std::string failure;
  bool aborts = false;
  bool ignores_cancellation = false;
};

Task<int> compute(Work& work) {
  int const run = ++work.runs;
  bool cancelled = false;
  try {
    co_await work.gate.pass();
  } catch (const boost::system::system_error&) {
    cancelled = true;
  }
  if (cancelled && !work.ignores_cancellation) {
    throw boost::system::system_error(asio::error::operation_aborted);
  }
  if (work.aborts) throw boost::system::system_error(asio::error::operation_aborted);
  if (!work.failure.empty()) throw Error(ErrorKind::kCorrupt, work.failure);
  co_return run;
}

Task<void> get(Shared<int>& shared, int& value) {
  value = co_await shared.get();
}

Task<void> get_and_wait(Shared<int>& shared, Gate& gate) {
  (void)co_await shared.get();
  co_await gate.pass();
}

class SharedTest : public testing::Test {
 protected:
  Shared<int> make(OnFailure on_failure = OnFailure::kKeep) {
    return Shared<int>(io.get_executor(), [this] { return compute(work); }, on_failure);
  }
  asio::io_context io{1};
  Work work{io};
};

TEST_F(SharedTest, IsComputedOnceForAll) {
  auto shared = make();
  int a = 0;
  int b = 0;
  Runner first(io, get(shared, a));
  Runner second(io, get(shared, b));
  settle(io);
  EXPECT_FALSE(shared.is_done());
  work.gate.open();
  settle(io);
  EXPECT_EQ(a, 1);
  EXPECT_EQ(b, 1);
  EXPECT_TRUE(shared.is_done());
  int c = 0;
  Runner third(io, get(shared, c));
  settle(io);
  EXPECT_EQ(c, 1);
  EXPECT_EQ(work.runs, 1);
}

TEST_F(SharedTest, AWaiterThatLeavesDoesNotStopTheOthers) {
  auto shared = make();
  int a = 0;
  int b = 0;
  Runner first(io, get(shared, a));
  Runner second(io, get(shared, b));
  settle(io);
  first.cancel();
  settle(io);
  EXPECT_TRUE(first.cancelled());
  EXPECT_EQ(work.gate.cancelled(), 0);
  work.gate.open();
  settle(io);
  EXPECT_EQ(b, 1);
}

TEST_F(SharedTest, TheLastToLeaveStopsItAndItStartsAnew) {
  auto shared = make();
  int a = 0;
  Runner first(io, get(shared, a));
  settle(io);
  first.cancel();
  settle(io);
  EXPECT_TRUE(first.cancelled());
  EXPECT_EQ(work.gate.cancelled(), 1);
  work.gate.open();
  Runner second(io, get(shared, a));
  settle(io);
  EXPECT_EQ(a, 2);
}

TEST_F(SharedTest, OneWhoComesBeforeTheLastHasLeftKeepsItGoing) {
  auto shared = make();
  int a = 0;
  int b = 0;
  Runner first(io, get(shared, a));
  settle(io);
  first.cancel();  // heard of when the loop runs again
  Runner second(io, get(shared, b));
  settle(io);
  EXPECT_TRUE(first.cancelled());
  work.gate.open();
  settle(io);
  EXPECT_EQ(b, 1);
}

TEST_F(SharedTest, OneWhoComesWhileItIsBeingStoppedGetsANewRun) {
  auto shared = make();
  int a = 0;
  int b = 0;
  Runner first(io, get(shared, a));
  settle(io);
  first.cancel();
  io.restart();
  io.poll_one();  // the waiter leaves and the run is told, but has not ended
  ASSERT_EQ(work.gate.cancelled(), 0);
  Runner second(io, get(shared, b));
  settle(io);
  EXPECT_EQ(work.gate.cancelled(), 1);
  EXPECT_TRUE(first.cancelled());
  work.gate.open();
  settle(io);
  EXPECT_EQ(b, 2);
}

TEST_F(SharedTest, AValueThatComesInSpiteOfCancellationIsKept) {
  work.ignores_cancellation = true;
  auto shared = make();
  int a = 0;
  Runner first(io, get(shared, a));
  settle(io);
  first.cancel();
  settle(io);
  EXPECT_TRUE(first.cancelled());
  Runner second(io, get(shared, a));
  settle(io);
  EXPECT_EQ(a, 1);
}

TEST_F(SharedTest, FailuresAreKeptOrForgotten) {
  work.failure = "broken";
  work.gate.open();
  int value = 0;
  auto kept = make();
  Runner a(io, get(kept, value));
  Runner b(io, get(kept, value));
  settle(io);
  Runner c(io, get(kept, value));
  settle(io);
  EXPECT_EQ(a.failure() + b.failure() + c.failure(), "brokenbrokenbroken");
  EXPECT_EQ(work.runs, 1);
  auto forgotten = make(OnFailure::kForget);
  Runner d(io, get(forgotten, value));
  settle(io);
  work.failure.clear();
  Runner e(io, get(forgotten, value));
  settle(io);
  EXPECT_EQ(d.failure(), "broken");
  EXPECT_EQ(value, 3);
}

TEST_F(SharedTest, ItsOwnCancellationIsGivenToItsWaitersInsteadOfTryingForEver) {
  work.aborts = true;
  work.gate.open();
  auto shared = make();
  int a = 0;
  Runner first(io, get(shared, a));
  settle(io);
  EXPECT_TRUE(first.cancelled());
  EXPECT_EQ(work.runs, 1);
}

TEST_F(SharedTest, LeavesItsCallerCancellable) {
  work.gate.open();
  auto shared = make();
  Gate gate(io);
  Runner runner(io, get_and_wait(shared, gate));
  settle(io);
  runner.cancel();
  settle(io);
  EXPECT_TRUE(runner.cancelled());
}

class SharedStorm : public testing::TestWithParam<unsigned> {};

TEST_P(SharedStorm, EveryWaiterGetsOneOutcome) {
  std::mt19937 random(GetParam());
  for (int round = 0; round < 100; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << GetParam() << " round " << round);
    asio::io_context io(1);
    Work work(io);
    if (random() % 4 == 0) work.failure = "broken";
    if (random() % 4 == 0) work.ignores_cancellation = true;
    auto how = random() % 2 == 0 ? OnFailure::kKeep : OnFailure::kForget;
    Shared<int> shared(io.get_executor(), [&] { return compute(work); }, how);
    std::list<Runner> runners;
    std::list<int> values;
    for (int step = 0; step < 30; ++step) {
      switch (random() % 5) {
        case 0: runners.emplace_back(io, get(shared, values.emplace_back(0))); break;
        case 1:
          if (!runners.empty()) {
            auto runner = runners.begin();
            std::advance(runner, random() % runners.size());
            runner->cancel();
          }
          break;
        case 2:
          if (random() % 4 == 0) work.gate.open();
          break;
        default: io.restart(); io.poll_one();
      }
    }
    work.gate.open();
    settle(io);
    for (const Runner& runner : runners) EXPECT_TRUE(runner.done());
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SharedStorm, testing::Range(0U, 6U));

}  // namespace
}  // namespace cobuild
