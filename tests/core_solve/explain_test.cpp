/// Why steps ran, as the solver tells it.

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "core/solve/solver.hpp"
#include "support/fake_executor.hpp"
#include "support/imported_cache.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::solve {
namespace {

using test::Behaviour;
using test::FakeWorld;
using test::RecordingSink;
using test::StoreProcess;

class ExplainTest : public test::StoreTest {
 protected:
  using Vertex = std::shared_ptr<const llb::Vertex>;

  /// The outcomes of one build, by name. With another session: the context is listed anew.
  std::map<std::string, StepOutcome> build(const Vertex& target,
                                           std::vector<ImportedCache> imports = {}) {
    Solver::Options options;
    options.imports = std::move(imports);
    options.on_explained = [this](const Explanation&, StepSink&) { ++told; };
    options.origin = "here";
    Solver solver(process.loop().get_executor(), process.store(), world, sink, std::move(options));
    try {
      process.run(solver.solve({{target, 0}}));
    } catch (const Error&) {
      failed = true;
    }
    last_keys = solver.key_records();
    std::map<std::string, StepOutcome> out;
    for (StepOutcome& step : process.run(solver.outcomes())) out.emplace(step.name, step);
    return out;
  }

  Vertex image(const std::string& key) {
    Behaviour behaviour;
    behaviour.key = key;
    behaviour.number = static_cast<std::int64_t>(key.size());
    return world.vertex("[1/3] FROM base", behaviour);
  }
  Vertex context(std::int64_t value) {
    Behaviour behaviour;
    behaviour.unstored = true;
    behaviour.number = value;
    behaviour.key = "session " + std::to_string(++sessions);
    return world.vertex("context", behaviour);
  }
  Vertex copy(const Vertex& base, const Vertex& files) {
    Behaviour behaviour;
    behaviour.key = "copy";
    behaviour.content_keyed = {false, true};
    return world.vertex("[2/3] COPY . .", behaviour, {{base, 0}, {files, 0}});
  }
  Vertex run(const Vertex& before, const std::string& command, bool no_cache = false) {
    Behaviour behaviour;
    behaviour.key = command;
    behaviour.variables = variables;
    return world.vertex("[3/3] RUN " + command, behaviour, {{before, 0}}, no_cache);
  }
  static const Explanation& why(const std::map<std::string, StepOutcome>& steps,
                                const std::string& name) {
    const StepOutcome& step = steps.at(name);
    EXPECT_NE(step.outcome, Outcome::kCached) << name;
    EXPECT_TRUE(step.explanation) << name;
    return *step.explanation;
  }

  StoreProcess process{(std::filesystem::create_directories(root), root)};
  FakeWorld world{process.store()};
  RecordingSink sink;
  std::map<std::string, std::string> variables;
  std::vector<KeyRecord> last_keys;
  int sessions = 0;
  int told = 0;
  bool failed = false;
};

TEST_F(ExplainTest, TheFirstTimeThereIsNothingLikeIt) {
  auto const steps = build(run(copy(image("a"), context(1)), "make"));
  ASSERT_EQ(steps.size(), 3U) << "the context is no step";
  for (const auto& [name, step] : steps) {
    EXPECT_EQ(step.outcome, Outcome::kRan) << name;
    EXPECT_EQ(why(steps, name).reason, Reason::kNoRecord) << name;
  }
  EXPECT_EQ(told, 3);
}

TEST_F(ExplainTest, CachedStepsAreNotExplained) {
  build(run(copy(image("a"), context(1)), "make"));
  told = 0;
  for (const auto& [name, step] : build(run(copy(image("a"), context(1)), "make"))) {
    EXPECT_EQ(step.outcome, Outcome::kCached) << name;
    EXPECT_FALSE(step.explanation);
  }
  EXPECT_EQ(told, 0);
}

TEST_F(ExplainTest, AnotherCommand) {
  build(run(copy(image("a"), context(1)), "make"));
  auto const steps = build(run(copy(image("a"), context(1)), "make all"));
  EXPECT_EQ(steps.at("[2/3] COPY . .").outcome, Outcome::kCached);
  const Explanation& reason = why(steps, "[3/3] RUN make all");
  EXPECT_EQ(reason.reason, Reason::kDiffers);
  ASSERT_EQ(reason.differences.size(), 1U);
  EXPECT_EQ(reason.differences[0].kind, DifferenceKind::kArguments);
  EXPECT_EQ(reason.differences[0].before, "make");
  ASSERT_TRUE(reason.record);
  EXPECT_EQ(reason.record->name, "[3/3] RUN make");
  EXPECT_TRUE(reason.causes.empty());
}

TEST_F(ExplainTest, OtherFilesAreTheCauseOfAllThatFollows) {
  build(run(copy(image("a"), context(1)), "make"));
  auto const steps = build(run(copy(image("a"), context(2)), "make"));
  const Explanation& copied = why(steps, "[2/3] COPY . .");
  ASSERT_EQ(copied.differences.size(), 1U);
  EXPECT_EQ(copied.differences[0].kind, DifferenceKind::kFiles);
  ASSERT_EQ(copied.differences[0].files.size(), 1U);
  EXPECT_EQ(copied.differences[0].files[0].path, "value");
  EXPECT_EQ(copied.differences[0].files[0].kind, FileChangeKind::kContent);
  const Explanation& made = why(steps, "[3/3] RUN make");
  ASSERT_EQ(made.differences.size(), 1U);
  EXPECT_EQ(made.differences[0].kind, DifferenceKind::kInput);
  EXPECT_EQ(made.differences[0].name, "[2/3] COPY . .");
  ASSERT_EQ(made.causes.size(), 1U);
  EXPECT_EQ(made.causes[0].step, "[2/3] COPY . .");
  EXPECT_EQ(made.causes[0].differences, copied.differences);
}

TEST_F(ExplainTest, AnotherBase) {
  build(run(copy(image("a"), context(1)), "make"));
  auto const steps = build(run(copy(image("other"), context(1)), "make"));
  const Explanation& copied = why(steps, "[2/3] COPY . .");
  ASSERT_EQ(copied.differences.size(), 1U);
  EXPECT_EQ(copied.differences[0].kind, DifferenceKind::kInput);
  EXPECT_EQ(copied.differences[0].name, "[1/3] FROM base");
  ASSERT_EQ(copied.causes.size(), 1U);
  EXPECT_EQ(copied.causes[0].step, "[1/3] FROM base");
  EXPECT_EQ(copied.causes[0].differences[0].now, "other");
}

TEST_F(ExplainTest, TheNearestRecordIsTheOneWithTheFewestDifferences) {
  variables = {{"A", "1"}, {"B", "1"}};
  build(run(image("a"), "make"));
  variables = {{"A", "2"}, {"B", "2"}};
  build(run(image("a"), "make all"));
  variables = {{"A", "1"}, {"B", "3"}};
  auto const steps = build(run(image("a"), "make it"));
  const Explanation& reason = why(steps, "[3/3] RUN make it");
  ASSERT_TRUE(reason.record);
  EXPECT_EQ(reason.record->name, "[3/3] RUN make");
  EXPECT_EQ(reason.differences.size(), 2U);
}

TEST_F(ExplainTest, WhatMustRunSaysSoAndSoDoesWhatFollows) {
  build(run(run(image("a"), "first"), "second"));
  auto const steps = build(run(run(image("a"), "first", true), "second"));
  EXPECT_EQ(why(steps, "[3/3] RUN first").reason, Reason::kNoCache);
  const Explanation& second = why(steps, "[3/3] RUN second");
  ASSERT_EQ(second.differences.size(), 1U);
  EXPECT_EQ(second.differences[0].kind, DifferenceKind::kForcedInput);
}

TEST_F(ExplainTest, AFailedStepIsExplainedToo) {
  build(run(image("a"), "make"));
  Behaviour bad;
  bad.key = "bad";
  bad.failure = "exit code 1";
  auto const steps = build(world.vertex("[3/3] RUN bad", bad, {{image("a"), 0}}));
  EXPECT_TRUE(failed);
  EXPECT_EQ(steps.at("[3/3] RUN bad").outcome, Outcome::kFailed);
  EXPECT_EQ(why(steps, "[3/3] RUN bad").record->name, "[3/3] RUN make");
}

TEST_F(ExplainTest, AnImportedCacheThatHasItWithOtherFilesIsNamed) {
  build(run(copy(image("a"), context(1)), "make"));
  ImportedCache const cache = test::imported(last_keys);
  // Another machine, with a store of its own.
  auto const away = root / "away";
  std::filesystem::create_directories(away);
  StoreProcess other(away);
  world.use_store(other.store());
  Solver::Options options;
  options.imports = {cache};
  Solver solver(other.loop().get_executor(), other.store(), world, sink, std::move(options));
  other.run(solver.solve({{run(copy(image("a"), context(2)), "make"), 0}}));
  std::map<std::string, StepOutcome> steps;
  for (StepOutcome& step : other.run(solver.outcomes())) steps.emplace(step.name, step);
  const Explanation& copied = why(steps, "[2/3] COPY . .");
  EXPECT_EQ(copied.reason, Reason::kNoRecord);
  ASSERT_TRUE(copied.import);
  EXPECT_EQ(copied.import->cache, "elsewhere");
  EXPECT_FALSE(copied.import->other_op);
  ASSERT_EQ(copied.import->inputs.size(), 1U);
  EXPECT_EQ(copied.import->inputs[0].kind, DifferenceKind::kFiles);
  const Explanation& made = why(steps, "[3/3] RUN make");
  ASSERT_TRUE(made.import);
  EXPECT_EQ(made.import->inputs[0].name, "[2/3] COPY . .");
}

}  // namespace
}  // namespace cobuild::solve
