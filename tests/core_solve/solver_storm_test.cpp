// Random graphs, in which the seed decides what finishes next, fails, or is cancelled.

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <random>

#include "core/async/context.hpp"
#include "core/solve/solver.hpp"
#include "support/fake_executor.hpp"
#include "support/store_fixture.hpp"

namespace cobuild::solve {
namespace {

using test::Behaviour;
using test::FakeWorld;
using test::RecordingSink;
using test::StoreProcess;

/// What a vertex is in every world; made once from the seed.
struct Plan {
  Behaviour behaviour;
  std::vector<std::pair<std::size_t, int>> inputs;  ///< Vertex and output.
  bool ignore_cache = false;
};

/// Few keys and few numbers, so that vertices often turn out to be the same work.
std::vector<Plan> random_plan(std::mt19937& random) {
  std::vector<Plan> plans;
  std::size_t const count = 2 + random() % 14;
  for (std::size_t i = 0; i < count; ++i) {
    Plan plan;
    std::size_t const inputs = i == 0 ? 0 : random() % std::min<std::size_t>(4, i + 1);
    std::size_t const kind = random() % 4;
    plan.behaviour.key = "key " + std::to_string(inputs) + " " + std::to_string(kind);
    plan.behaviour.number = static_cast<std::int64_t>(kind * 7 + inputs);
    plan.behaviour.outputs = 2;
    plan.behaviour.held = true;
    plan.behaviour.takes_slot = kind != 3;
    for (std::size_t input = 0; input < inputs; ++input) {
      plan.inputs.emplace_back(random() % i, static_cast<int>(random() % 2));
      plan.behaviour.content_keyed.push_back((kind + input) % 2 == 0);
    }
    if (inputs == 0 && kind == 2) plan.behaviour.unstored = true;
    plan.ignore_cache = random() % 10 == 0;
    plans.push_back(std::move(plan));
  }
  return plans;
}

std::vector<std::int64_t> expected_values(const std::vector<Plan>& plans) {
  std::vector<std::int64_t> values;
  for (const Plan& plan : plans) {
    std::int64_t value = plan.behaviour.number;
    for (std::size_t i = 0; i < plan.inputs.size(); ++i) {
      auto const [vertex, output] = plan.inputs[i];
      std::int64_t const input = values[vertex] + output;
      value +=
          static_cast<std::int64_t>(i + 1) * (plan.behaviour.content_keyed[i] ? input % 3 : input);
    }
    values.push_back(value);
  }
  return values;
}

std::vector<std::shared_ptr<const llb::Vertex>> make_vertices(FakeWorld& world,
                                                              const std::vector<Plan>& plans,
                                                              bool held) {
  std::vector<std::shared_ptr<const llb::Vertex>> vertices;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    std::vector<llb::Edge> inputs;
    for (auto const& [vertex, output] : plans[i].inputs)
      inputs.push_back({vertices[vertex], output});
    Behaviour behaviour = plans[i].behaviour;
    behaviour.held = held;
    vertices.push_back(world.vertex("vertex " + std::to_string(i), behaviour, std::move(inputs),
                                    plans[i].ignore_cache));
  }
  return vertices;
}

struct StormOutcome {
  int outcomes = 0;
  std::exception_ptr failure;
  std::vector<Result> results;
};

Task<void> solve_all(Solver* solver, std::vector<llb::Edge> edges, StormOutcome* outcome) {
  outcome->results = co_await solver->solve(std::move(edges));
}

class SolverStorm : public testing::TestWithParam<unsigned> {};

TEST_P(SolverStorm, KeepsItsContract) {
  std::mt19937 random(GetParam());
  TempDir const directory =
      TempDir::create(std::filesystem::temp_directory_path(), "cobuild-storm-");
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << GetParam() << " round " << round);
    auto const root = directory.path() / std::to_string(round);
    StoreProcess process(root);
    auto const plans = random_plan(random);
    auto const expected = expected_values(plans);
    bool const faulty = random() % 3 == 0;
    bool const cancelled = random() % 4 == 0;
    FakeWorld world(process.store());
    auto const vertices = make_vertices(world, plans, true);
    std::vector<llb::Edge> edges{{vertices.back(), 0}};
    std::vector<std::size_t> wanted{vertices.size() - 1};
    if (random() % 2 == 0) {
      wanted.push_back(random() % vertices.size());
      edges.push_back({vertices[wanted.back()], 1});
    }

    StormOutcome outcome;
    RecordingSink sink;
    Solver solver(process.loop().get_executor(), process.store(), world, sink, {random() % 4});
    asio::cancellation_signal signal;
    asio::co_spawn(process.loop(), solve_all(&solver, edges, &outcome),
                   asio::bind_cancellation_slot(signal.slot(), [&](std::exception_ptr error) {
                     ++outcome.outcomes;
                     outcome.failure = error;
                   }));
    bool injected = false;
    process.loop().restart();
    while (outcome.outcomes == 0) {
      if (cancelled && !injected && random() % 20 == 0) {
        injected = true;
        signal.emit(asio::cancellation_type::all);
      }
      if (process.loop().poll_one() > 0) continue;
      if (outcome.outcomes > 0) break;
      if (!world.held.empty()) {
        auto next = world.held.begin();
        std::advance(next, random() % world.held.size());
        if (faulty && random() % 6 == 0) (*next)->failure = "fault";
        (*next)->go_on();
        continue;
      }
      ASSERT_GT(process.loop().run_one_for(std::chrono::seconds(20)), 0U) << "nothing goes on";
    }
    process.loop().run();

    EXPECT_EQ(outcome.outcomes, 1);
    EXPECT_EQ(world.running, 0);
    EXPECT_TRUE(world.held.empty());
    for (const auto& [name, vertex] : sink.last) {
      EXPECT_FALSE(vertex.started && !vertex.completed) << name << " was left running";
    }
    bool const ignores =
        std::any_of(plans.begin(), plans.end(), [](const Plan& p) { return p.ignore_cache; });
    for (const auto& [work, runs] : world.works) {
      if (!ignores) {
        EXPECT_EQ(runs, 1) << work << " was done twice";
      }
    }
    if (outcome.failure) {
      EXPECT_TRUE(faulty || cancelled);
      if (!cancelled) EXPECT_FALSE(is_cancellation(outcome.failure)) << "the real failure was lost";
      if (!faulty) EXPECT_TRUE(is_cancellation(outcome.failure));
    } else {
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        EXPECT_EQ(world.value(outcome.results[i]), expected[wanted[i]] + edges[i].output);
      }
    }

    // Whatever happened, the next build is right, and the one after it runs only what must run.
    for (int again = 0; again < 2; ++again) {
      FakeWorld calm(process.store());
      auto const same = make_vertices(calm, plans, false);
      std::vector<llb::Edge> same_edges;
      for (std::size_t i = 0; i < wanted.size(); ++i)
        same_edges.push_back({same[wanted[i]], edges[i].output});
      RecordingSink quiet;
      Solver next(process.loop().get_executor(), process.store(), calm, quiet, {});
      auto const results = process.run(next.solve(same_edges));
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        EXPECT_EQ(calm.value(results[i]), expected[wanted[i]] + edges[i].output);
      }
      if (again == 1 && !ignores) {
        for (const auto& [name, runs] : calm.runs) {
          auto const number = static_cast<std::size_t>(std::stoi(name.substr(7)));
          EXPECT_TRUE(plans[number].behaviour.unstored ||
                      std::any_of(plans.begin(), plans.end(),
                                  [](const Plan& p) { return p.behaviour.unstored; }))
              << name << " ran " << runs << " times in a warm build";
        }
      }
    }
    process.close();
    EXPECT_TRUE(std::filesystem::is_empty(root / "ingest"));
  }
}

TEST_P(SolverStorm, WhatIsLostIsMadeAgain) {
  std::mt19937 random(GetParam() + 1000);
  TempDir const directory =
      TempDir::create(std::filesystem::temp_directory_path(), "cobuild-storm-");
  for (int round = 0; round < 12; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << GetParam() << " round " << round);
    StoreProcess process(directory.path() / std::to_string(round));
    auto const plans = random_plan(random);
    auto const build = [&](FakeWorld& world, bool held) {
      auto const vertices = make_vertices(world, plans, held);
      return std::vector<llb::Edge>{{vertices.back(), 0}, {vertices[vertices.size() / 2], 1}};
    };
    FakeWorld first(process.store());
    RecordingSink sink;
    Solver before(process.loop().get_executor(), process.store(), first, sink, {});
    process.run(before.solve(build(first, false)));

    // Some of what steps made then cannot be had any more.
    FakeWorld world(process.store());
    auto const salt = static_cast<std::int64_t>(random() % 3);
    std::int64_t const last_id = [&] {
      store::NewLayer layer = process.store().new_layer();
      return process.run(process.store().commit_layer(std::move(layer), {})).value;
    }();
    world.is_gone = [&](const store::Layer& layer) {
      if (layer.id.value > last_id || (layer.id.value * 7 + salt) % 3 == 0) return false;
      return !plans[std::stoul(layer.description.substr(7))].inputs.empty();
    };
    Solver solver(process.loop().get_executor(), process.store(), world, sink,
                  {.parallelism_max = random() % 4,
                   .is_lost = [&](store::LayerId id) { return world.lost.contains(id); }});
    std::vector<llb::Edge> const edges = build(world, true);
    StormOutcome outcome;
    bool any_gone = true;
    while (any_gone) {
      outcome = {};
      asio::co_spawn(process.loop(), solve_all(&solver, edges, &outcome), [&](std::exception_ptr e) {
        ++outcome.outcomes;
        outcome.failure = e;
      });
      process.loop().restart();
      while (outcome.outcomes == 0) {
        if (process.loop().poll_one() > 0 || outcome.outcomes > 0) continue;
        if (!world.held.empty()) {
          auto next = world.held.begin();
          std::advance(next, random() % world.held.size());
          (*next)->go_on();
          continue;
        }
        ASSERT_GT(process.loop().run_one_for(std::chrono::seconds(20)), 0U) << "nothing goes on";
      }
      process.loop().run();
      ASSERT_FALSE(outcome.failure);
      any_gone = false;
      for (const Result& result : outcome.results) {
        for (store::LayerId const id : result.layers) {
          if (!world.is_gone(process.store().get_layer(id))) continue;
          any_gone = true;
          world.lost.insert(id);
        }
      }
    }
    auto const expected = expected_values(plans);
    EXPECT_EQ(world.value(outcome.results[0]), expected.back());
    EXPECT_EQ(world.value(outcome.results[1]), expected[expected.size() / 2] + 1);
    EXPECT_EQ(world.running, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SolverStorm, testing::Range(0U, 12U));

}  // namespace
}  // namespace cobuild::solve
