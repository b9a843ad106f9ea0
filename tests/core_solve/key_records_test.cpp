#include <gtest/gtest.h>

#include <algorithm>

#include "core/solve/edge_match.hpp"
#include "core/solve/solver.hpp"
#include "support/fake_executor.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::solve {
namespace {

using test::Behaviour;
using test::FakeWorld;
using test::RecordingSink;
using test::StoreProcess;

Digest op_root(const std::string& key) {
  return root_key(Digest::of("op " + key), 0);
}

Digest content_root(std::int64_t value) {
  return content_key(Digest::of("content " + std::to_string(value)));
}

std::size_t index_of(const std::vector<KeyRecord>& records, const Digest& digest) {
  auto const found = std::find_if(records.begin(), records.end(),
                                  [&](const KeyRecord& record) { return record.digest == digest; });
  return static_cast<std::size_t>(found - records.begin());
}

class KeyRecordsTest : public test::StoreTest {
 protected:
  std::vector<KeyRecord> records_of(const std::shared_ptr<const llb::Vertex>& vertex) {
    Solver solver(process.loop().get_executor(), process.store(), world, sink, {});
    process.run(solver.solve({{vertex, 0}}));
    return solver.key_records();
  }

  StoreProcess process{(std::filesystem::create_directories(root), root)};
  FakeWorld world{process.store()};
  RecordingSink sink;
};

/// As a Dockerfile that copies from its context and from another stage.
std::shared_ptr<const llb::Vertex> two_stages(FakeWorld& world, const std::string& session) {
  Behaviour context;
  context.number = 4;
  context.unstored = true;
  context.key = session;
  auto local = world.vertex("context " + session, context);
  Behaviour copy;
  copy.key = "copy";
  copy.content_only = true;
  auto first = world.vertex("copy " + session, copy, {{local, 0}});
  Behaviour run;
  run.key = "run";
  run.number = 1;
  auto second = world.vertex("run " + session, run, {{first, 0}});
  Behaviour from;
  from.key = "from";
  from.content_keyed = {false, true};
  return world.vertex("from " + session, from, {{first, 0}, {second, 0}});
}

TEST_F(KeyRecordsTest, HaveLinksByDefinitionAndByContent) {
  auto const records = records_of(two_stages(world, "s"));
  ASSERT_EQ(records.size(), 5U) << "copy, run, from, and two contents; the context has none";
  std::size_t const copy = index_of(records, op_root("copy"));
  std::size_t const run = index_of(records, op_root("run"));
  std::size_t const from = index_of(records, op_root("from"));
  std::size_t const content = index_of(records, content_root(1));
  ASSERT_LT(copy, records.size());
  ASSERT_LT(run, records.size());
  ASSERT_LT(from, records.size());
  ASSERT_LT(content, records.size());

  ASSERT_EQ(records[copy].inputs.size(), 1U);
  ASSERT_EQ(records[copy].inputs[0].size(), 1U) << "by content only";
  EXPECT_EQ(records[copy].inputs[0][0].record, content);
  EXPECT_EQ(records[copy].inputs[0][0].selector, std::nullopt);
  ASSERT_EQ(records[run].inputs.size(), 1U);
  EXPECT_EQ(records[run].inputs[0].at(0).record, copy);
  ASSERT_EQ(records[from].inputs.size(), 2U);
  EXPECT_EQ(records[from].inputs[0].size(), 1U);
  ASSERT_EQ(records[from].inputs[1].size(), 2U);
  for (const CacheLink& link : records[from].inputs[1]) {
    if (link.record == run) {
      EXPECT_EQ(link.selector, Digest::of("selector"));
    } else {
      EXPECT_EQ(link.selector, std::nullopt);
      EXPECT_TRUE(records[link.record].inputs.empty());
    }
  }
  EXPECT_LT(index_of(records, content_root(2)), records.size());
  EXPECT_TRUE(records[from].result.has_value());
  EXPECT_FALSE(records[content].result.has_value());
  EXPECT_TRUE(std::is_sorted(records.begin(), records.end(),
                             [](const auto& a, const auto& b) { return a.digest < b.digest; }));
}

TEST_F(KeyRecordsTest, AreTheSameAfterAWarmBuild) {
  auto const cold = records_of(two_stages(world, "one"));
  auto const warm = records_of(two_stages(world, "two"));
  ASSERT_EQ(cold.size(), warm.size());
  for (std::size_t i = 0; i < cold.size(); ++i) {
    EXPECT_EQ(cold[i].digest, warm[i].digest);
    ASSERT_EQ(cold[i].inputs.size(), warm[i].inputs.size());
    for (std::size_t input = 0; input < cold[i].inputs.size(); ++input) {
      ASSERT_EQ(cold[i].inputs[input].size(), warm[i].inputs[input].size()) << i << " " << input;
      for (std::size_t link = 0; link < cold[i].inputs[input].size(); ++link) {
        EXPECT_EQ(cold[i].inputs[input][link].record, warm[i].inputs[input][link].record);
        EXPECT_EQ(cold[i].inputs[input][link].selector, warm[i].inputs[input][link].selector);
      }
    }
    ASSERT_EQ(cold[i].result.has_value(), warm[i].result.has_value());
    if (cold[i].result) {
      EXPECT_EQ(cold[i].result->layers, warm[i].result->layers);
    }
  }
}

}  // namespace
}  // namespace cobuild::solve
