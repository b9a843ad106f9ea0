/// Keys that somebody else solved.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "core/solve/key_graph.hpp"
#include "core/solve/solver.hpp"
#include "support/fake_executor.hpp"
#include "support/imported_cache.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::solve {
namespace {

using test::Behaviour;
using test::FakeWorld;
using test::imported;
using test::RecordingSink;
using test::StoreProcess;

/// As a Dockerfile that copies from its context and from another stage.
std::shared_ptr<const llb::Vertex> two_stages(FakeWorld& world, const std::string& last = "from") {
  Behaviour context;
  context.number = 4;
  context.unstored = true;
  auto local = world.vertex("context", context);
  Behaviour copy;
  copy.content_only = true;
  auto first = world.vertex("copy", copy, {{local, 0}});
  Behaviour run;
  run.number = 1;
  auto second = world.vertex("run", run, {{first, 0}});
  Behaviour from;
  from.content_keyed = {false, true};
  return world.vertex(last, from, {{first, 0}, {second, 0}});
}

class ImportsTest : public test::StoreTest {
 protected:
  /// What a build elsewhere leaves.
  ImportedCache build_elsewhere() {
    auto const away = root / "elsewhere";
    std::filesystem::create_directories(away);
    StoreProcess other(away);
    FakeWorld there(other.store());
    Solver solver(other.loop().get_executor(), other.store(), there, sink, {});
    other.run(solver.solve({{two_stages(there), 0}}));
    return imported(solver.key_records());
  }

  Result solve(const std::shared_ptr<const llb::Vertex>& vertex, std::vector<ImportedCache> imports) {
    Solver solver(process.loop().get_executor(), process.store(), world, sink,
                  {.imports = std::move(imports), .is_lost = is_lost()});
    return process.run(solver.solve({{vertex, 0}})).at(0);
  }
  std::function<bool(store::LayerId)> is_lost() {
    return [this](store::LayerId id) { return world.lost.contains(id); };
  }
  /// Nobody has what the caches tell of.
  void lose_imports() {
    world.is_gone = [](const store::Layer& layer) { return !layer.has_snapshot; };
  }
  /// What it comes to without any cache.
  std::int64_t real_value(const std::string& last) {
    StoreProcess other((std::filesystem::create_directories(root / "real"), root / "real"));
    FakeWorld there(other.store());
    Solver solver(other.loop().get_executor(), other.store(), there, sink, {});
    return there.value(other.run(solver.solve({{two_stages(there, last), 0}})).at(0));
  }

  StoreProcess process{(std::filesystem::create_directories(root / "here"), root / "here")};
  FakeWorld world{process.store()};
  RecordingSink sink;
};

TEST_F(ImportsTest, NothingRunsThatACacheHas) {
  ImportedCache const cache = build_elsewhere();
  Result const result = solve(two_stages(world), {cache});
  EXPECT_EQ(world.all_runs(), 1) << "only the context is looked at";
  ASSERT_EQ(result.layers.size(), 1U);
  store::Layer const layer = process.store().get_layer(result.layers[0]);
  EXPECT_FALSE(layer.has_snapshot);
  ASSERT_EQ(layer.blobs.size(), 1U);
  EXPECT_EQ(layer.blobs[0].sources, std::vector<std::string>{"r.io/elsewhere"});
}

TEST_F(ImportsTest, WhatWasTakenIsFoundWithoutTheCacheLater) {
  ImportedCache const cache = build_elsewhere();
  Result const first = solve(two_stages(world), {cache});
  int const runs = world.all_runs();
  Result const second = solve(two_stages(world), {});
  EXPECT_EQ(second.layers, first.layers);
  EXPECT_EQ(world.all_runs(), runs + 1) << "only the context is looked at";
}

TEST_F(ImportsTest, OnlyTheResultThatIsNeededIsTaken) {
  ImportedCache cache = build_elsewhere();
  // As mode=min has it: keys of other stages have no results.
  std::size_t results = 0;
  for (auto record = cache.records.rbegin(); record != cache.records.rend(); ++record) {
    if (!record->results.empty() && results++ > 0) record->results.clear();
  }
  solve(two_stages(world), {cache});
  EXPECT_EQ(world.runs["run"], 0);
  EXPECT_EQ(world.runs["from"], 0);
}

TEST_F(ImportsTest, AStepThatTheCacheDoesNotHaveRunsOnThoseThatItHas) {
  solve(two_stages(world, "changed"), {build_elsewhere()});
  EXPECT_EQ(world.runs["copy"], 0);
  EXPECT_EQ(world.runs["run"], 0);
  EXPECT_EQ(world.runs["changed"], 1);
  EXPECT_EQ(world.all_runs(), 2);
}

TEST_F(ImportsTest, TwoCachesAreLookedThroughAsOne) {
  ImportedCache first = build_elsewhere();
  ImportedCache second = first;
  for (std::size_t i = 0; i < first.records.size(); ++i) {
    (i % 2 == 0 ? first : second).records[i].results.clear();
  }
  solve(two_stages(world), {first, second});
  EXPECT_EQ(world.all_runs(), 1);
}

TEST_F(ImportsTest, AdoptingMakesAKeyOnce) {
  ImportedCache const cache = build_elsewhere();
  KeyGraph one(process.store(), {cache});
  KeyGraph other(process.store(), {cache});
  for (const ImportedRecord& record : cache.records) {
    if (!record.inputs.empty()) continue;
    KeySet const keys = one.find_roots(record.digest);
    ASSERT_EQ(keys.size(), 1U);
    EXPECT_TRUE(KeyGraph::is_imported(keys[0]));
    store::KeyId const adopted = one.adopt(keys[0]);
    EXPECT_FALSE(KeyGraph::is_imported(adopted));
    EXPECT_EQ(one.adopt(keys[0]), adopted);
    EXPECT_EQ(other.adopt(other.find_roots(record.digest).back()), adopted);
  }
}

TEST_F(ImportsTest, LayersThatAreGoneWhenTheyAreReadAreMadeByTheirSteps) {
  lose_imports();
  Result const result = solve(two_stages(world, "changed"), {build_elsewhere()});
  EXPECT_EQ(world.value(result), real_value("changed"));
  EXPECT_EQ(world.runs["copy"], 1);
  EXPECT_EQ(world.runs["run"], 2) << "what it reads turns out to be lost once it runs";
  ASSERT_FALSE(sink.warnings.empty());
  EXPECT_NE(sink.warnings.front().find("is gone: it was found in a cache, and is made again"),
            std::string::npos);
  // What was made is what the next build finds.
  int const runs = world.all_runs();
  EXPECT_EQ(solve(two_stages(world, "changed"), {}).layers, result.layers);
  EXPECT_EQ(world.all_runs(), runs + 1) << "only the context is looked at";
}

TEST_F(ImportsTest, AResultThatIsLostAfterItWasSolvedIsMade) {
  lose_imports();
  Solver solver(process.loop().get_executor(), process.store(), world, sink,
                {.imports = {build_elsewhere()}, .is_lost = is_lost()});
  auto const vertex = two_stages(world);
  Result const found = process.run(solver.solve({{vertex, 0}})).at(0);
  EXPECT_EQ(world.runs["from"], 0);
  world.lost.insert(found.layers.begin(), found.layers.end());
  Result const made = process.run(solver.solve({{vertex, 0}})).at(0);
  EXPECT_EQ(world.value(made), real_value("from"));
  EXPECT_EQ(process.run(solver.solve({{vertex, 0}})).at(0).layers, made.layers);
}

TEST_F(ImportsTest, AFailureThatNoLayerIsToBlameForIsOne) {
  ImportedCache const cache = build_elsewhere();
  auto const before = two_stages(world);
  Behaviour broken;
  broken.failure = "exit code: 1";
  Solver solver(process.loop().get_executor(), process.store(), world, sink,
                {.imports = {cache}, .is_lost = [](store::LayerId) { return true; }});
  EXPECT_THROW(process.run(solver.solve({{world.vertex("broken", broken, {{before, 0}}), 0}})), Error);
  EXPECT_EQ(world.runs["broken"], 1);
}

TEST_F(ImportsTest, LayersWithoutAnEndAreNoResult) {
  ImportedCache cache = build_elsewhere();
  std::size_t const first = cache.layers.size();
  ImportedLayer const layer = cache.layers.front();
  for (std::size_t i = 0; i <= kImportedLayersMax; ++i) {
    cache.layers.push_back(layer);
    if (i > 0) cache.layers.back().parent = first + i - 1;
  }
  for (ImportedRecord& record : cache.records) {
    for (ImportedResult& result : record.results) result.layers = {cache.layers.size() - 1};
  }
  solve(two_stages(world), {cache});
  EXPECT_EQ(world.runs["from"], 1);
}

}  // namespace
}  // namespace cobuild::solve
