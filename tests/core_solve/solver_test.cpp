#include "core/solve/solver.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "core/async/context.hpp"
#include "core/store/collect.hpp"
#include "support/fake_executor.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::solve {
namespace {

using test::Behaviour;
using test::FakeWorld;
using test::RecordingSink;
using test::StoreProcess;

/// One build: a fresh solver on a store that may have seen others.
struct Build {
  Build(StoreProcess& p, FakeWorld& world, std::size_t parallelism_max = 0)
      : process(p),
        solver(p.loop().get_executor(), p.store(), world, sink, Solver::Options{parallelism_max}) {}

  std::vector<Result> solve(std::vector<llb::Edge> edges) {
    return process.run(solver.solve(std::move(edges)));
  }
  Result solve(const std::shared_ptr<const llb::Vertex>& vertex) {
    return solve(std::vector<llb::Edge>{{vertex, 0}}).front();
  }

  StoreProcess& process;
  RecordingSink sink;
  Solver solver;
};

class SolverTest : public test::StoreTest {
 protected:
  Behaviour number(std::int64_t value) {
    Behaviour behaviour;
    behaviour.number = value;
    return behaviour;
  }
  /// Reads only part of its inputs.
  Behaviour content(std::int64_t value, std::vector<bool> keyed = {true}) {
    Behaviour behaviour = number(value);
    behaviour.content_keyed = std::move(keyed);
    return behaviour;
  }
  /// As a build context is: new in each build, known by content only to `reader`.
  Behaviour context(std::int64_t value, const std::string& session) {
    Behaviour behaviour = number(value);
    behaviour.unstored = true;
    behaviour.key = session;
    return behaviour;
  }
  Behaviour reader(std::int64_t value) {
    Behaviour behaviour = number(value);
    behaviour.content_only = true;
    return behaviour;
  }

  StoreProcess process{(std::filesystem::create_directories(root), root)};
  FakeWorld world{process.store()};
};

TEST_F(SolverTest, RunsEachVertexOnce) {
  auto base = world.vertex("base", number(1));
  auto left = world.vertex("left", number(10), {{base, 0}});
  auto right = world.vertex("right", number(100), {{base, 0}});
  auto top = world.vertex("top", number(1000), {{left, 0}, {right, 0}});
  Build build(process, world);
  EXPECT_EQ(world.value(build.solve(top)), 1000 + 11 + 2 * 101);
  EXPECT_EQ(world.all_runs(), 4);
  EXPECT_EQ(world.value(build.solve(left)), 11);
  EXPECT_EQ(world.all_runs(), 4) << "solved before on this solver";
}

TEST_F(SolverTest, TellsEachResultOnceMadeOrFound) {
  auto base = world.vertex("base", number(1));
  auto middle = world.vertex("middle", number(10), {{base, 0}});
  auto top = world.vertex("top", number(100), {{middle, 0}});
  Build(process, world).solve(middle);
  std::vector<std::string> told;
  test::RecordingSink sink;
  Solver::Options options;
  options.on_result = [&](const llb::Edge& edge, const Result& result) {
    told.push_back(edge.vertex->name + " " + std::to_string(world.value(result)));
  };
  Solver solver(process.loop().get_executor(), process.store(), world, sink, options);
  process.run(solver.solve({{top, 0}, {middle, 0}}));
  std::ranges::sort(told);
  EXPECT_EQ(told, (std::vector<std::string>{"middle 11", "top 111"}));
}

TEST_F(SolverTest, AWarmBuildRunsNothingAndLooksAtNothing) {
  auto base = world.vertex("base", number(1));
  auto middle = world.vertex("middle", content(10), {{base, 0}});
  auto top = world.vertex("top", number(100), {{middle, 0}});
  std::int64_t const value = world.value(Build(process, world).solve(top));
  world.runs.clear();
  world.contents.clear();
  Build warm(process, world);
  EXPECT_EQ(world.value(warm.solve(top)), value);
  EXPECT_EQ(world.all_runs(), 0);
  EXPECT_TRUE(world.contents.empty()) << "a hit by definition evaluates no input";
  for (const char* name : {"base", "middle", "top"}) {
    EXPECT_TRUE(warm.sink.last.at(name).cached) << name;
    EXPECT_TRUE(warm.sink.last.at(name).completed.has_value()) << name;
  }
}

TEST_F(SolverTest, AWarmBuildInAnotherProcessRunsNothing) {
  auto base = world.vertex("base", number(1));
  auto top = world.vertex("top", content(10), {{base, 0}});
  Build(process, world).solve(top);
  StoreProcess other(root);
  FakeWorld theirs(other.store());
  auto same_base = theirs.vertex("base", number(1));
  auto same_top = theirs.vertex("top", content(10), {{same_base, 0}});
  EXPECT_EQ(theirs.value(Build(other, theirs).solve(same_top)), 11);
  EXPECT_EQ(theirs.all_runs(), 0);
}

TEST_F(SolverTest, UnusedBranchesAreNeverTouched) {
  auto used = world.vertex("used", number(1));
  auto unused = world.vertex("unused", number(2), {{used, 0}});
  Build build(process, world);
  build.solve(used);
  EXPECT_EQ(build.sink.last.count("unused"), 0U);
  EXPECT_EQ(world.maps.count("unused"), 0U);
}

TEST_F(SolverTest, ScratchIsTheEmptyResult) {
  Build build(process, world);
  EXPECT_TRUE(build.solve(std::shared_ptr<const llb::Vertex>()).layers.empty());
  auto on_scratch = world.vertex("on scratch", number(5), {{nullptr, 0}});
  EXPECT_EQ(world.value(build.solve(on_scratch)), 5);
  world.runs.clear();
  EXPECT_EQ(world.value(Build(process, world).solve(on_scratch)), 5);
  EXPECT_EQ(world.all_runs(), 0);
}

TEST_F(SolverTest, EqualContentHitsAfterTheInputWasMadeAnew) {
  auto base = world.vertex("base", number(4));
  auto reads = world.vertex("reads", content(10), {{base, 0}});
  auto top = world.vertex("top", number(100), {{reads, 0}});
  EXPECT_EQ(world.value(Build(process, world).solve(top)), 111);
  // Another definition of the input, with the same `value % 3`.
  auto other_base = world.vertex("other base", number(7));
  auto same_reads = world.vertex("reads", content(10), {{other_base, 0}});
  auto same_top = world.vertex("top", number(100), {{same_reads, 0}});
  world.runs.clear();
  Build build(process, world);
  EXPECT_EQ(world.value(build.solve(same_top)), 111);
  EXPECT_EQ(world.all_runs(), 1) << "only the input itself";
  EXPECT_TRUE(build.sink.last.at("reads").cached);
  EXPECT_FALSE(build.sink.last.at("other base").cached);
  // Both paths lead to the record now: by definition, too.
  world.runs.clear();
  world.contents.clear();
  EXPECT_EQ(world.value(Build(process, world).solve(same_top)), 111);
  EXPECT_EQ(world.all_runs(), 0);
  EXPECT_TRUE(world.contents.empty());
}

TEST_F(SolverTest, OtherContentMisses) {
  auto base = world.vertex("base", number(4));
  Build(process, world).solve(world.vertex("reads", content(10), {{base, 0}}));
  auto other_base = world.vertex("other base", number(5));
  auto reads = world.vertex("reads again",
                            [&] {
                              Behaviour same = content(10);
                              same.key = "reads";
                              return same;
                            }(),
                            {{other_base, 0}});
  EXPECT_EQ(world.value(Build(process, world).solve(reads)), 12);
}

TEST_F(SolverTest, AContextIsKnownByItsContentOnly) {
  for (int build_number = 0; build_number < 3; ++build_number) {
    std::string const session = "session " + std::to_string(build_number);
    auto local = world.vertex("context " + session, context(build_number < 2 ? 4 : 5, session));
    auto copy = world.vertex("copy " + session,
                             [&] {
                               Behaviour same = reader(10);
                               same.key = "copy";
                               return same;
                             }(),
                             {{local, 0}});
    auto top = world.vertex("top " + session,
                            [&] {
                              Behaviour same = number(100);
                              same.key = "top";
                              return same;
                            }(),
                            {{copy, 0}});
    world.runs.clear();
    Build build(process, world);
    EXPECT_EQ(world.value(build.solve(top)), build_number < 2 ? 111 : 112);
    EXPECT_EQ(world.all_runs(), build_number == 1 ? 1 : 3) << build_number;
    EXPECT_EQ(build.sink.last.at("top " + session).cached, build_number == 1);
  }
}

TEST_F(SolverTest, IgnoreCacheRunsAndSaves) {
  auto make = [&](bool ignore) {
    auto base = world.vertex("base", number(1), {}, ignore);
    auto plain = world.vertex("plain", number(10), {{base, 0}});
    auto reads = world.vertex("reads", content(20), {{base, 0}});
    return world.vertex("top", number(100), {{plain, 0}, {reads, 0}});
  };
  EXPECT_EQ(world.value(Build(process, world).solve(make(false))), 100 + 11 + 2 * 21);
  world.runs.clear();
  Build forced(process, world);
  EXPECT_EQ(world.value(forced.solve(make(true))), 100 + 11 + 2 * 21);
  EXPECT_EQ(world.runs["base"], 1);
  EXPECT_EQ(world.runs["plain"], 1) << "nothing is found through what was forced to run";
  EXPECT_EQ(world.runs["reads"], 0) << "but by content";
  world.runs.clear();
  EXPECT_EQ(world.value(Build(process, world).solve(make(false))), 100 + 11 + 2 * 21);
  EXPECT_EQ(world.all_runs(), 0) << "what was forced to run is saved";
}

TEST_F(SolverTest, EqualWorkRunsOnce) {
  auto base = world.vertex("base", number(1));
  std::vector<llb::Edge> edges;
  for (int i = 0; i < 4; ++i) {
    Behaviour same = number(10);
    same.key = "same";
    same.held = true;
    edges.push_back({world.vertex("twin " + std::to_string(i), same, {{base, 0}}), 0});
  }
  Build build(process, world);
  std::optional<std::vector<Result>> results;
  auto solve = [](Solver* solver, std::vector<llb::Edge> wanted,
                  std::optional<std::vector<Result>>* out) -> Task<void> {
    *out = co_await solver->solve(std::move(wanted));
  };
  asio::co_spawn(process.loop(), solve(&build.solver, edges, &results), [](std::exception_ptr) {});
  process.loop().restart();
  while (world.held.empty()) process.loop().run_one();
  EXPECT_EQ(world.held.size(), 1U);
  world.held.front()->go_on();
  process.loop().run();
  ASSERT_TRUE(results.has_value());
  for (const Result& result : *results) EXPECT_EQ(world.value(result), 11);
  EXPECT_EQ(world.works["same 1"], 1);
}

TEST_F(SolverTest, StagesThatAreCopiedFromRunSideBySide) {
  // As COPY --from of three stages, one after the other, and one of all three.
  auto const base = world.vertex("base", number(1));
  Behaviour waits = number(10);
  waits.held = true;
  std::vector<llb::Edge> stages;
  llb::Edge last{base, 0};
  for (int i = 0; i < 3; ++i) {
    std::string const name = std::to_string(i);
    stages.push_back({world.vertex("stage " + name, waits, {{base, 0}}), 0});
    last = {world.vertex("copy " + name, content(i, {false, true}), {last, stages.back()}), 0};
  }
  stages.push_back(last);
  auto const top = world.vertex("top", content(5, {true, true, true, true}), stages);
  Build build(process, world);
  bool done = false;
  auto solve = [](Solver* solver, std::vector<llb::Edge> wanted) -> Task<void> {
    (void)co_await solver->solve(std::move(wanted));
  };
  asio::co_spawn(process.loop(), solve(&build.solver, {{top, 0}}),
                 [&](std::exception_ptr error) { done = !error; });
  process.loop().restart();
  while (world.held.size() < 3) {
    ASSERT_GT(process.loop().run_one_for(std::chrono::seconds(20)), 0U) << "they wait for each other";
  }
  EXPECT_EQ(world.running, 3);
  while (!world.held.empty()) {
    world.held.front()->go_on();
    process.loop().poll();
  }
  process.loop().run();
  EXPECT_TRUE(done);
}

TEST_F(SolverTest, AnOpWithSeveralOutputsRunsOnce) {
  Behaviour two = number(5);
  two.outputs = 2;
  auto source = world.vertex("two", two);
  auto top = world.vertex("top", number(100), {{source, 1}, {source, 0}});
  Build build(process, world);
  EXPECT_EQ(world.value(build.solve(top)), 100 + 6 + 2 * 5);
  EXPECT_EQ(world.runs["two"], 1);
  world.runs.clear();
  Build warm(process, world);
  auto const results = warm.solve({{source, 0}, {source, 1}});
  EXPECT_EQ(world.value(results[0]), 5);
  EXPECT_EQ(world.value(results[1]), 6);
  EXPECT_EQ(world.all_runs(), 0);
}

TEST_F(SolverTest, ASourceIsFoundUnderEachOfItsNames) {
  Behaviour tagged = number(5);
  tagged.key = "manifest of tag";
  tagged.other_keys = {"chain of layers"};
  auto top = world.vertex("top", number(100), {{world.vertex("tag", tagged), 0}});
  Build(process, world).solve(top);
  Behaviour retagged = number(5);
  retagged.key = "manifest of other tag";
  retagged.other_keys = {"chain of layers"};
  auto other_top = world.vertex("other top",
                                [&] {
                                  Behaviour same = number(100);
                                  same.key = "top";
                                  return same;
                                }(),
                                {{world.vertex("other tag", retagged), 0}});
  world.runs.clear();
  EXPECT_EQ(world.value(Build(process, world).solve(other_top)), 105);
  EXPECT_EQ(world.all_runs(), 0);
}

TEST_F(SolverTest, AResultWhoseLayersAreGoneIsMadeAgain) {
  auto base = world.vertex("base", number(1));
  auto top = world.vertex("top", number(10), {{base, 0}});
  Build(process, world).solve(top);
  process.close();
  process.open();
  world.use_store(process.store());
  store::PruneOptions all;
  all.all = true;
  EXPECT_EQ(process.run(store::prune(process.store(), all)).size(), 2U);
  world.runs.clear();
  EXPECT_EQ(world.value(Build(process, world).solve(top)), 11);
  EXPECT_EQ(world.all_runs(), 2);
}

// ---- failures

TEST_F(SolverTest, AFailureHasTheVertexsPlaceAndEndsItsProgress) {
  Behaviour fails = number(1);
  fails.failure = "exit code: 3";
  auto made = std::make_shared<llb::Vertex>(VertexDigest(Digest::of("RUN")), pb::Op(),
                                            pb::OpMetadata(), std::vector<llb::Edge>{});
  made->name = "RUN";
  made->spans.push_back({"Dockerfile", nullptr, 4, 4});
  fails.key = "RUN";
  world.behaviours[made->digest] = fails;
  auto top = world.vertex("top", number(1), {{made, 0}});
  Build build(process, world);
  try {
    build.solve(top);
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kExecFailed);
    bool placed = false;
    for (const Error::Frame& frame : e.frames()) {
      placed |= frame.span.has_value() && frame.span->first_line == 4;
    }
    EXPECT_TRUE(placed);
  }
  EXPECT_EQ(build.sink.last.at("RUN").error, "exit code: 3");
  EXPECT_FALSE(build.sink.last.at("top").started.has_value());
  EXPECT_EQ(world.runs["top"], 0);
}

TEST_F(SolverTest, AFailureToMakeAKeyIsReported) {
  Behaviour fails = number(1);
  fails.map_failure = "no such image";
  auto base = world.vertex("base", fails);
  Build build(process, world);
  EXPECT_THROW(build.solve(world.vertex("top", number(1), {{base, 0}})), Error);
  EXPECT_EQ(build.sink.last.at("base").error, "no such image");
}

TEST_F(SolverTest, AMissingPathIsSaidAsBuildKitSaysIt) {
  Behaviour fails = content(1);
  fails.content_failure = R"("/nothing": not found)";
  auto base = world.vertex("base", number(1));
  Build build(process, world);
  try {
    build.solve(world.vertex("copy", fails, {{base, 0}}));
    FAIL() << "did not throw";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), R"(failed to compute cache key: "/nothing": not found)");
  }
  EXPECT_FALSE(build.sink.last.at("copy").error.empty());
}

TEST_F(SolverTest, OldContentDoesNotLeadToWhatNewContentMade) {
  // The same definition gives other files the second time: a RUN that is not deterministic.
  auto base = world.vertex("base", number(4));
  Build(process, world).solve(world.vertex("reads", content(10), {{base, 0}}));
  auto changed = world.vertex("base", number(5), {}, true);
  EXPECT_EQ(
      world.value(
          Build(process, world).solve(world.vertex("reads", content(10), {{changed, 0}}, true))),
      12);
  // Somebody else has files like the first ones.
  Behaviour same = content(10);
  same.key = "reads";
  auto other = world.vertex("other base", number(7));
  world.runs.clear();
  EXPECT_EQ(world.value(Build(process, world).solve(world.vertex("reads too", same, {{other, 0}}))),
            11);
  EXPECT_EQ(world.runs["reads too"], 0);
}

TEST_F(SolverTest, TheFirstRealFailureStopsTheRest) {
  Behaviour waits = number(1);
  waits.held = true;
  auto slow = world.vertex("slow", waits);
  auto failing = world.vertex("failing", waits);
  auto top = world.vertex("top", number(1), {{slow, 0}, {failing, 0}});
  Build build(process, world);
  std::optional<std::exception_ptr> outcome;
  auto solve = [](Solver* solver, std::vector<llb::Edge> wanted) -> Task<void> {
    (void)co_await solver->solve(std::move(wanted));
  };
  asio::co_spawn(process.loop(), solve(&build.solver, {{top, 0}}),
                 [&](std::exception_ptr error) { outcome = error; });
  process.loop().restart();
  while (world.held.size() < 2) process.loop().run_one();
  for (FakeWorld::Held* held : world.held) {
    if (held->name != "failing") continue;
    held->failure = "boom";
    held->go_on();
  }
  process.loop().run();
  ASSERT_TRUE(outcome.has_value() && *outcome);
  EXPECT_FALSE(is_cancellation(*outcome));
  EXPECT_EQ(world.running, 0);
  EXPECT_EQ(build.sink.last.at("slow").error, "context canceled");
  EXPECT_EQ(build.sink.last.at("failing").error, "boom");
}

TEST_F(SolverTest, CancellingTheCallerStopsEverything) {
  Behaviour waits = number(1);
  waits.held = true;
  auto base = world.vertex("base", waits);
  auto top = world.vertex("top", number(10), {{base, 0}});
  Build build(process, world);
  asio::cancellation_signal signal;
  std::optional<std::exception_ptr> outcome;
  auto solve = [](Solver* solver, std::vector<llb::Edge> wanted) -> Task<void> {
    (void)co_await solver->solve(std::move(wanted));
  };
  asio::co_spawn(process.loop(), solve(&build.solver, {{top, 0}}),
                 asio::bind_cancellation_slot(signal.slot(),
                                              [&](std::exception_ptr error) { outcome = error; }));
  process.loop().restart();
  while (world.held.empty()) process.loop().run_one();
  signal.emit(asio::cancellation_type::all);
  process.loop().run();
  ASSERT_TRUE(outcome.has_value() && *outcome);
  EXPECT_TRUE(is_cancellation(*outcome));
  EXPECT_EQ(world.running, 0);
  // The same solver goes on from there.
  world.behaviours.at(base->digest).held = false;
  FakeWorld again(process.store());
  auto same_base = again.vertex("base", number(1));
  auto same_top = again.vertex("top", number(10), {{same_base, 0}});
  EXPECT_EQ(again.value(Build(process, again).solve(same_top)), 11);
}

TEST_F(SolverTest, SlotsAreForTheRunningOnly) {
  std::vector<llb::Edge> inputs;
  for (int i = 0; i < 6; ++i) {
    Behaviour free = number(i);
    free.takes_slot = i % 3 != 0;
    inputs.push_back({world.vertex("input " + std::to_string(i), free), 0});
  }
  auto top = world.vertex("top", number(1), inputs);
  Build build(process, world, 1);
  EXPECT_NO_THROW(build.solve(top));
  EXPECT_EQ(world.all_runs(), 7);
}

TEST_F(SolverTest, ADeepGraphNeedsNoDeepStack) {
  auto at = world.vertex("0", number(1));
  constexpr int kDepth = 2000;
  for (int i = 1; i < kDepth; ++i) {
    Behaviour next = number(1);
    next.unstored = true;  // keeps the store out of it
    at = world.vertex(std::to_string(i), next, {{at, 0}});
  }
  EXPECT_EQ(world.value(Build(process, world).solve(at)), kDepth);
}

// ---- two processes

TEST_F(SolverTest, TheSecondProcessWaitsAndThenHits) {
  StoreProcess other(root);
  FakeWorld theirs(other.store());
  Behaviour waits = number(5);
  waits.held = true;
  auto ours_vertex = world.vertex("slow", waits);
  auto theirs_vertex = theirs.vertex("slow", waits);
  Build ours(process, world);
  Build their_build(other, theirs);
  auto solve = [](Solver* solver, std::vector<llb::Edge> wanted, bool* done) -> Task<void> {
    (void)co_await solver->solve(std::move(wanted));
    *done = true;
  };
  bool ours_done = false;
  bool theirs_done = false;
  asio::co_spawn(process.loop(), solve(&ours.solver, {{ours_vertex, 0}}, &ours_done),
                 [](std::exception_ptr) {});
  process.loop().restart();
  while (world.held.empty()) process.loop().run_one();
  asio::co_spawn(other.loop(), solve(&their_build.solver, {{theirs_vertex, 0}}, &theirs_done),
                 [](std::exception_ptr) {});
  other.loop().restart();
  other.loop().run_for(std::chrono::milliseconds(30));
  EXPECT_FALSE(theirs_done);
  EXPECT_TRUE(theirs.held.empty()) << "two processes do the same work";
  world.held.front()->go_on();
  process.loop().run();
  EXPECT_TRUE(ours_done);
  other.loop().restart();
  other.loop().run();
  EXPECT_TRUE(theirs_done);
  EXPECT_EQ(theirs.all_runs(), 0);
  EXPECT_TRUE(their_build.sink.last.at("slow").cached);
}

// ---- progress

TEST_F(SolverTest, VerticesAreAnnouncedInputsFirstAndLogsAreForwarded) {
  auto base = world.vertex("base", number(1));
  auto top = world.vertex("top", number(10), {{base, 0}});
  Build build(process, world);
  build.solve(top);
  ASSERT_GE(build.sink.events.size(), 2U);
  EXPECT_EQ(build.sink.events[0].name, "base");
  EXPECT_EQ(build.sink.events[1].name, "top");
  EXPECT_FALSE(build.sink.events[1].started.has_value());
  ASSERT_EQ(build.sink.events[1].inputs.size(), 1U);
  EXPECT_EQ(build.sink.events[1].inputs[0], base->digest.digest());
  ASSERT_EQ(build.sink.logs.size(), 2U);
  EXPECT_EQ(build.sink.logs[1].vertex, top->digest.digest());
  const progress::Vertex& last = build.sink.last.at("top");
  EXPECT_TRUE(last.started && last.completed && *last.started <= *last.completed);
  EXPECT_FALSE(last.cached);
  EXPECT_EQ(last.error, "");
}

}  // namespace
}  // namespace cobuild::solve
