#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include "core/async/cleanup.hpp"
#include "core/async/concurrency.hpp"
#include "core/async/runtime.hpp"
#include "core/async/semaphore.hpp"
#include "core/async/task_group.hpp"
#include "core/base/error.hpp"
#include "support/run_task.hpp"

#include "async_support.hpp"

namespace cobuild {
namespace {

using test::Gate;
using test::Runner;
using test::settle;
using namespace std::chrono_literals;

Task<void> count(int& ran) {
  ++ran;
  co_return;
}

Task<void> fail(std::string what) {
  throw Error(ErrorKind::kCorrupt, what);
  co_return;
}

Task<void> pass(Gate& gate, int& passed) {
  co_await gate.pass();
  ++passed;
}

/// Fails when it is told to stop, as a cleanup that goes wrong does.
Task<void> fail_when_cancelled(Gate& gate) {
  bool cancelled = false;
  try {
    co_await gate.pass();
  } catch (const boost::system::system_error&) {
    cancelled = true;
  }
  if (cancelled) throw Error(ErrorKind::kInternal, "cleanup");
}

// ---- TaskGroup

Task<void> join_three(asio::io_context& io, Gate& gate, int& passed) {
  TaskGroup group(io.get_executor());
  for (int i = 0; i < 3; ++i) group.spawn(pass(gate, passed));
  co_await group.join();
}

TEST(TaskGroup, JoinsAll) {
  asio::io_context io(1);
  Gate gate(io);
  int passed = 0;
  Runner runner(io, join_three(io, gate, passed));
  settle(io);
  EXPECT_FALSE(runner.done());
  gate.open();
  settle(io);
  EXPECT_TRUE(runner.succeeded());
  EXPECT_EQ(passed, 3);
}

TEST(TaskGroup, CancellingTheCallerCancelsAndJoins) {
  asio::io_context io(1);
  Gate gate(io);
  int passed = 0;
  Runner runner(io, join_three(io, gate, passed));
  settle(io);
  runner.cancel();
  runner.cancel();
  settle(io);
  EXPECT_TRUE(runner.cancelled());
  EXPECT_EQ(gate.cancelled(), 3);
  EXPECT_EQ(passed, 0);
}

Task<void> fail_beside(asio::io_context& io, Gate& gate, int& passed, Gate& failing) {
  TaskGroup group(io.get_executor());
  group.spawn(pass(gate, passed));
  group.spawn(fail_when_cancelled(gate));
  co_await failing.pass();
  group.spawn(fail("first"));
  group.spawn(fail("second"));
  int never = 0;
  group.spawn(count(never));
  EXPECT_FALSE(group.is_cancelled()) << "a child's end is heard of on the loop, not inside spawn";
  co_await group.join();
}

TEST(TaskGroup, TheFirstRealFailureIsThrownAndTheRestCancelled) {
  asio::io_context io(1);
  Gate gate(io);
  Gate failing(io);
  int passed = 0;
  Runner runner(io, fail_beside(io, gate, passed, failing));
  settle(io);
  failing.open();
  settle(io);
  EXPECT_EQ(runner.failure(), "first");
  EXPECT_EQ(gate.cancelled(), 2);
}

Task<void> cancel_own_group(TaskGroup& group) {
  group.cancel();  // and ends without ever having suspended
  co_return;
}

Task<void> cancel_from_child(asio::io_context& io, Gate& gate, int& passed, int& late) {
  TaskGroup group(io.get_executor());
  group.spawn(pass(gate, passed));
  group.spawn(cancel_own_group(group));
  group.spawn(count(late));
  co_await group.join();
}

TEST(TaskGroup, AChildMayCancelItsGroupWithoutSuspending) {
  asio::io_context io(1);
  Gate gate(io);
  int passed = 0;
  int late = 0;
  Runner runner(io, cancel_from_child(io, gate, passed, late));
  settle(io);
  EXPECT_TRUE(runner.succeeded()) << "cancel() by somebody of the group is not a failure";
  EXPECT_EQ(gate.cancelled(), 1);
  EXPECT_EQ(late, 0) << "a child spawned after cancel() took a step";
}

Task<void> abort_itself() {
  throw boost::system::system_error(asio::error::operation_aborted);
  co_return;
}

Task<void> join_one_that_aborts(asio::io_context& io) {
  TaskGroup group(io.get_executor());
  group.spawn(abort_itself());
  co_await group.join();
}

TEST(TaskGroup, AChildsOwnCancellationIsNotLost) {
  asio::io_context io(1);
  Runner runner(io, join_one_that_aborts(io));
  settle(io);
  EXPECT_TRUE(runner.cancelled()) << "its work was not done, so the group may not succeed";
}

Task<void> count_signals(int& signals) {
  // Waits on, whatever it is told, as a cleanup would, and counts how often it is told.
  asio::steady_timer timer(co_await asio::this_coro::executor,
                           asio::steady_timer::time_point::max());
  while (signals < 3) {
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
    ++signals;
    co_await asio::this_coro::reset_cancellation_state();
  }
}

Task<void> cancel_many_times(int& signals, TaskGroup& group, Gate& gate) {
  group.spawn(count_signals(signals));
  group.spawn(fail_when_cancelled(gate));
  group.spawn(fail("one"));
  group.spawn(fail("two"));
  co_await group.join();
}

TEST(TaskGroup, AChildIsToldOnce) {
  int signals = 0;
  asio::io_context io(1);
  Gate gate(io);
  TaskGroup group(io.get_executor());
  Runner runner(io, cancel_many_times(signals, group, gate));
  settle(io);
  group.cancel();
  runner.cancel();
  settle(io);
  EXPECT_EQ(signals, 1) << "a second signal would interrupt a child's cleanup";
}

Task<void> join_keeps_throwing(asio::io_context& io, Gate& gate, bool& went_on) {
  {
    TaskGroup group(io.get_executor());
    co_await group.join();
  }
  co_await asio::this_coro::executor;
  co_await gate.pass();
  went_on = true;
}

TEST(TaskGroup, JoinLeavesTheCallerCancellable) {
  asio::io_context io(1);
  Gate gate(io);
  bool went_on = false;
  Runner runner(io, join_keeps_throwing(io, gate, went_on));
  settle(io);
  runner.cancel();
  settle(io);
  EXPECT_TRUE(runner.cancelled());
  EXPECT_FALSE(went_on);
}

// Groups in groups, whose children suspend, end at once, fail or cancel, by seed; cancelled at any
// time.
struct Storm {
  explicit Storm(unsigned seed, asio::io_context& loop) : random(seed), io(loop) {}
  std::mt19937 random;
  asio::io_context& io;
  std::list<Gate> gates;
  int running = 0;
  int started = 0;
};

Task<void> storm_child(Storm& storm, int depth);

Task<void> storm_group(Storm& storm, int depth) {
  TaskGroup group(storm.io.get_executor());
  unsigned const children = storm.random() % 5;
  for (unsigned i = 0; i < children; ++i) group.spawn(storm_child(storm, depth + 1));
  if (storm.random() % 8 == 0) group.cancel();
  co_await group.join();
}

class Running {
 public:
  explicit Running(Storm& storm) : storm_(storm) {
    ++storm_.running;
    ++storm_.started;
  }
  ~Running() { --storm_.running; }

 private:
  Storm& storm_;
};

Task<void> storm_child(Storm& storm, int depth) {
  Running const running(storm);
  switch (storm.random() % 6) {
    case 0: co_return;
    case 1: throw Error(ErrorKind::kCorrupt, "fault");
    case 2: co_await with_timeout(storm_child(storm, depth + 1), 1h); co_return;
    case 3: {
      Gate& gate = storm.gates.emplace_back(storm.io);
      co_await gate.pass();
      break;
    }
    default: break;
  }
  if (depth < 4) co_await storm_group(storm, depth);
}

class TaskGroupStorm : public testing::TestWithParam<unsigned> {};

TEST_P(TaskGroupStorm, EverythingIsJoinedAndThereIsOneOutcome) {
  for (unsigned round = 0; round < 50; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << GetParam() << " round " << round);
    asio::io_context io(1);
    Storm storm(GetParam() * 1000 + round, io);
    Runner runner(io, storm_group(storm, 0));
    for (int step = 0; step < 200 && !runner.done(); ++step) {
      unsigned const polls = storm.random() % 4;
      for (unsigned i = 0; i < polls; ++i) {
        io.restart();
        io.poll_one();
      }
      if (storm.random() % 40 == 0) runner.cancel();
      if (!storm.gates.empty() && storm.random() % 2 == 0) {
        auto gate = storm.gates.begin();
        std::advance(gate, storm.random() % storm.gates.size());
        gate->open();
      }
    }
    for (Gate& gate : storm.gates) gate.open();
    for (int i = 0; i < 20 && !runner.done(); ++i) {
      settle(io);
      for (Gate& gate : storm.gates) gate.open();
    }
    ASSERT_TRUE(runner.done());
    EXPECT_EQ(storm.running, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, TaskGroupStorm, testing::Range(0U, 6U));

// ---- for_each_bounded and with_timeout, where Boost's own groups let go of a failure

Task<void> bounded(int& ran) {
  std::vector<int> items{1, 2, 3};
  auto each = [&](int) { return count(ran); };
  co_await for_each_bounded(std::move(items), 2, each);
}

Task<void> spawn_and_cancel(asio::io_context& io, int& ran) {
  TaskGroup group(io.get_executor());
  group.spawn(fail("sibling"));
  group.spawn(bounded(ran));
  group.spawn(with_timeout(count(ran), 1h));
  co_await group.join();
}

TEST(ForEachBounded, MayBeCancelledBeforeItsFirstStep) {
  asio::io_context io(1);
  int ran = 0;
  Runner runner(io, spawn_and_cancel(io, ran));
  settle(io);
  EXPECT_EQ(runner.failure(), "sibling");
}

Task<void> time_out_at_once() {
  co_await with_timeout(fail("at once"), 1h);
}

TEST(WithTimeout, ATaskThatNeverSuspendsEndsItAtOnce) {
  asio::io_context io(1);
  Runner runner(io, time_out_at_once());
  settle(io);
  EXPECT_EQ(runner.failure(), "at once");
}

// ---- Semaphore

Task<void> hold(Semaphore& semaphore, Gate& gate, int& holding, int& held) {
  auto slot = co_await semaphore.acquire();
  ++holding;
  ++held;
  try {
    co_await gate.pass();
  } catch (...) {
    --holding;
    throw;
  }
  --holding;
}

TEST(Semaphore, CancelledWaitersLeaveTheQueue) {
  asio::io_context io(1);
  Semaphore semaphore(io.get_executor(), 1);
  Gate first(io);
  Gate rest(io);
  int holding = 0;
  int held = 0;
  Runner a(io, hold(semaphore, first, holding, held));
  Runner b(io, hold(semaphore, rest, holding, held));
  Runner c(io, hold(semaphore, rest, holding, held));
  settle(io);
  EXPECT_EQ(holding, 1);
  b.cancel();
  settle(io);
  EXPECT_TRUE(b.cancelled());
  first.open();
  settle(io);
  EXPECT_TRUE(a.succeeded());
  EXPECT_EQ(holding, 1) << "the slot went to nobody";
  rest.open();
  settle(io);
  EXPECT_TRUE(c.succeeded());
  EXPECT_EQ(held, 2);
}

TEST(Semaphore, ASlotGrantedToACancelledWaiterIsNotLost) {
  asio::io_context io(1);
  Semaphore semaphore(io.get_executor(), 1);
  Gate first(io);
  Gate rest(io);
  int holding = 0;
  int held = 0;
  Runner a(io, hold(semaphore, first, holding, held));
  Runner b(io, hold(semaphore, rest, holding, held));
  Runner c(io, hold(semaphore, rest, holding, held));
  settle(io);
  first.open();
  b.cancel();  // both are on their way when the loop runs again
  settle(io);
  EXPECT_TRUE(b.cancelled());
  rest.open();
  settle(io);
  EXPECT_TRUE(c.succeeded());
  EXPECT_EQ(holding, 0);
}

TEST(Semaphore, AFreeSlotIsTakenThoughSomebodyIsAboutToTakeAnother) {
  asio::io_context io(1);
  Semaphore semaphore(io.get_executor(), 2);
  Gate both(io);
  Gate rest(io);
  int holding = 0;
  int held = 0;
  Runner a(io, hold(semaphore, both, holding, held));
  Runner b(io, hold(semaphore, both, holding, held));
  Runner c(io, hold(semaphore, rest, holding, held));
  settle(io);
  both.open();  // a's slot is granted to c, b's is free, and c has not run yet when d asks
  while (holding > 0) io.poll_one();
  Runner d(io, hold(semaphore, rest, holding, held));
  settle(io);
  EXPECT_EQ(holding, 2);
  rest.open();
  settle(io);
  EXPECT_TRUE(d.succeeded());
}

// ---- cleanup

Task<void> clean(Gate& gate, bool& cleaned) {
  co_await gate.pass();
  cleaned = true;
}

struct CleanupCase {
  Gate work;
  Gate cleanup;
  bool cleaned = false;
  bool went_on = false;
  explicit CleanupCase(asio::io_context& io) : work(io), cleanup(io) {}
};

Task<void> clean_and_go_on(CleanupCase& c) {
  co_await with_cleanup(c.work.pass(), clean(c.cleanup, c.cleaned));
  Gate never(static_cast<asio::io_context&>((co_await asio::this_coro::executor).context()));
  co_await never.pass();
  c.went_on = true;
}

TEST(WithCleanup, CleansUpAfterCancellation) {
  asio::io_context io(1);
  CleanupCase c(io);
  Runner runner(io, clean_and_go_on(c));
  settle(io);
  runner.cancel();
  settle(io);
  EXPECT_FALSE(runner.done()) << "did not wait for the cleanup";
  runner.cancel();
  settle(io);
  EXPECT_EQ(c.cleanup.cancelled(), 0);
  c.cleanup.open();
  settle(io);
  EXPECT_TRUE(runner.cancelled());
  EXPECT_TRUE(c.cleaned);
}

TEST(WithCleanup, ACancellationDuringCleanupIsMetAfterIt) {
  asio::io_context io(1);
  CleanupCase c(io);
  c.work.open();
  Runner runner(io, clean_and_go_on(c));
  settle(io);
  runner.cancel();
  settle(io);
  c.cleanup.open();
  settle(io);
  EXPECT_TRUE(c.cleaned);
  EXPECT_TRUE(runner.cancelled()) << "the cancellation was swallowed by the cleanup";
  EXPECT_FALSE(c.went_on);
}

Task<void> fail_and_clean(bool& cleaned, Gate& gate) {
  co_await with_cleanup(fail("work"), clean(gate, cleaned));
}

TEST(WithCleanup, TheFailureOfTheWorkIsTheOneThrown) {
  asio::io_context io(1);
  Gate gate(io);
  gate.open();
  bool cleaned = false;
  Runner runner(io, fail_and_clean(cleaned, gate));
  settle(io);
  EXPECT_EQ(runner.failure(), "work");
  EXPECT_TRUE(cleaned);
}

// ---- Runtime

Task<int> answer(int value) {
  co_return value;
}

Task<int> refuse() {
  throw Error(ErrorKind::kNotFound, "nothing here");
  co_return 0;
}

Task<int> wait_for_interrupt(bool& cleaned) {
  ::raise(SIGINT);
  asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
  auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  cleaned = true;
  co_return error ? 7 : 8;
}

TEST(Runtime, ReturnsTheRootsValue) {
  Runtime runtime(1);
  EXPECT_EQ(runtime.run(answer(3)), 3);
  EXPECT_EQ(runtime.run(answer(4)), 4) << "a second run on the same loop";
}

TEST(Runtime, ThrowsTheRootsFailure) {
  Runtime runtime(1);
  EXPECT_THROW(runtime.run(refuse()), Error);
}

TEST(Runtime, AnInterruptCancelsTheRootAndWaitsForIt) {
  Runtime runtime(1);
  bool cleaned = false;
  int interrupts = 0;
  EXPECT_EQ(runtime.run(wait_for_interrupt(cleaned), [&] { ++interrupts; }), 7);
  EXPECT_TRUE(cleaned);
  EXPECT_EQ(interrupts, 1);
}

TEST(Runtime, SaysHowManyCpusThereAre) {
  EXPECT_GE(cpus_allowed(), 1U);
}

}  // namespace
}  // namespace cobuild
