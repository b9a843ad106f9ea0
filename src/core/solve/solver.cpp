#include "core/solve/solver.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "core/async/task_group.hpp"
#include "core/base/assert.hpp"
#include "core/solve/solver_impl.hpp"

namespace cobuild::solve {

Solver::Solver(asio::any_io_executor executor, store::Store& store, OpResolver& ops,
               progress::Sink& progress, Options options)
    : impl_(std::make_unique<Impl>(std::move(executor), store, ops, progress, std::move(options))) {}
Solver::~Solver() = default;

Task<std::vector<Result>> Solver::solve(std::vector<llb::Edge> edges) {
  return impl_->solve(std::move(edges));
}

Task<void> Solver::adopt_imports() {
  return impl_->adopt_imports();
}

Task<std::vector<StepOutcome>> Solver::outcomes() {
  return impl_->outcomes();
}

std::vector<KeyRecord> Solver::key_records() const {
  return impl_->key_records();
}

Solver::Impl::Impl(asio::any_io_executor executor, store::Store& store, OpResolver& ops,
                   progress::Sink& progress, Options options)
    : executor_(std::move(executor)),
      store_(store),
      keys_(store, options.imports),
      ops_(ops),
      progress_(progress),
      on_result_(std::move(options.on_result)),
      on_explained_(std::move(options.on_explained)),
      origin_(std::move(options.origin)),
      is_lost_(std::move(options.is_lost)),
      explainer_(store, keys_) {
  if (options.parallelism_max > 0) slots_.emplace(executor_, options.parallelism_max);
}

Task<std::vector<Result>> Solver::Impl::solve(std::vector<llb::Edge> edges) {
  add_vertices(edges);
  std::vector<Result> results(edges.size());
  TaskGroup group(executor_);
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (!edges[i].vertex) continue;  // scratch
    VertexState& vertex = *vertices_.at(edges[i].vertex->digest);
    group.spawn(solve_into(&edge(vertex, edges[i].output), results[i]));
  }
  co_await group.join();
  co_await store_.publish();
  co_return results;
}

Task<void> Solver::Impl::solve_into(EdgeState* edge, Result& result) {
  EdgeOutcome outcome = co_await take(edge);
  result = std::move(outcome.result);
}

/// Announces what `edges` need, inputs before their users, and nothing else.
void Solver::Impl::add_vertices(const std::vector<llb::Edge>& edges) {
  // With a list of its own, not by recursion: graphs may be deep.
  struct Visit {
    std::shared_ptr<const llb::Vertex> vertex;
    std::size_t next = 0;
  };
  for (const llb::Edge& wanted : edges) {
    if (!wanted.vertex) continue;
    std::vector<Visit> path{{wanted.vertex, 0}};
    while (!path.empty()) {
      Visit& visit = path.back();
      if (vertices_.contains(visit.vertex->digest)) {
        path.pop_back();
      } else if (visit.next < visit.vertex->inputs.size()) {
        auto const& input = visit.vertex->inputs[visit.next++].vertex;
        if (input && !vertices_.contains(input->digest)) path.push_back({input, 0});
      } else {
        add_vertex(visit.vertex);
        path.pop_back();
      }
    }
  }
}

VertexState& Solver::Impl::add_vertex(const std::shared_ptr<const llb::Vertex>& vertex) {
  std::vector<StepReporter*> reporters;
  std::vector<EdgeState*> inputs;
  for (const llb::Edge& input : vertex->inputs) {
    if (!input.vertex) {
      inputs.push_back(nullptr);
      continue;
    }
    VertexState& state = *vertices_.at(input.vertex->digest);
    reporters.push_back(&state.reporter);
    inputs.push_back(&edge(state, input.output));
  }
  auto state = std::make_unique<VertexState>(vertex, progress_, std::move(reporters));
  VertexState* const pointer = state.get();
  state->inputs = std::move(inputs);
  state->load_maps.emplace(executor_, [this, pointer] { return load_maps(pointer); });
  for (std::size_t i = 0; i < pointer->inputs.size(); ++i) {
    state->contents.emplace(i, make_content(pointer, i));
  }
  vertices_.emplace(vertex->digest, std::move(state));
  return *pointer;
}

EdgeState& Solver::Impl::edge(VertexState& vertex, int output) {
  auto& place = edges_[{&vertex, output}];
  if (place) return *place;
  place = std::make_unique<EdgeState>();
  EdgeState* const edge = place.get();
  edge->vertex = &vertex;
  edge->output = output;
  edge->fast.emplace(executor_, [this, edge] { return find_fast(edge); });
  edge->told.emplace(executor_, [this, edge] { return find_told(edge); });
  edge->slow.emplace(executor_, [this, edge] { return find_slow(edge); });
  edge->outcome.emplace(make_outcome(edge));
  edge_order_.push_back(edge);
  return *edge;
}

std::string failure_text(const std::exception_ptr& failure) {
  if (is_cancellation(failure)) return "context canceled";
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "unknown error";
  }
}

void throw_with_spans(const std::exception_ptr& failure, const llb::Vertex& vertex) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    bool const is_placed =
        std::any_of(error.frames().begin(), error.frames().end(),
                    [](const Error::Frame& frame) { return frame.span.has_value(); });
    if (is_placed || error.kind() == ErrorKind::kCancelled) throw;
    Error placed = error;
    for (const SourceSpan& span : vertex.spans) placed = placed.with_span(span);
    throw placed;
  }
}

}  // namespace cobuild::solve
