// Results that were found, and whose layers turn out to be lost when they are read.

#include <algorithm>
#include <set>
#include <utility>

#include "core/async/task_group.hpp"
#include "core/base/error.hpp"
#include "core/solve/solver_impl.hpp"

namespace cobuild::solve {

bool Solver::Impl::is_lost(const store::LayerChain& chain) const {
  return is_lost_ && std::any_of(chain.begin(), chain.end(), is_lost_);
}

bool Solver::Impl::can_remake(const EdgeState& edge) const {
  // With a list of its own, not by recursion: graphs may be deep.
  std::set<const EdgeState*> seen{&edge};
  std::vector<const EdgeState*> path{&edge};
  while (!path.empty()) {
    const EdgeState& at = *path.back();
    path.pop_back();
    // What a source is made of is elsewhere, and lost there.
    if (at.vertex->inputs.empty() || !at.known_result || !is_lost(at.known_result->layers)) continue;
    if (at.was_found || !at.outcome->is_done()) return true;
    for (const EdgeState* input : at.vertex->inputs) {
      if (input != nullptr && seen.insert(input).second) path.push_back(input);
    }
  }
  return false;
}

bool Solver::Impl::is_stale(const EdgeState* edge, const store::LayerChain& read) const {
  if (edge == nullptr || !is_lost(read)) return false;
  return !edge->known_result || edge->known_result->layers != read || can_remake(*edge);
}

Shared<EdgeOutcome> Solver::Impl::make_outcome(EdgeState* edge) {
  return {executor_, [this, edge] { return solve_and_tell(edge); }};
}

Shared<Digest> Solver::Impl::make_content(VertexState* vertex, std::size_t input) {
  return {executor_, [this, vertex, input] { return compute_content(vertex, input); }};
}

Task<EdgeOutcome> Solver::Impl::take(EdgeState* edge) {
  if (edge->outcome->is_done() && can_remake(*edge)) edge->outcome.emplace(make_outcome(edge));
  co_return co_await edge->outcome->get();
}

Task<void> Solver::Impl::retake_inputs(EdgeState* edge) {
  VertexState& vertex = *edge->vertex;
  TaskGroup group(executor_);
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) {
    const EdgeState* const input = vertex.inputs[i];
    if (input == nullptr || !input->known_result || input->known_result->unstored) continue;
    // What is read of one that is made again may be something else.
    vertex.contents.at(i) = make_content(&vertex, i);
    group.spawn(take_input(edge, i));
  }
  co_await group.join();
}

bool may_be_lost_layers(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error.kind() != ErrorKind::kExecFailed && error.kind() != ErrorKind::kCancelled;
  } catch (...) {
    return false;
  }
}

std::string lost_text(const std::exception_ptr& failure) {
  return failure_text(failure) + ": it was found in a cache, and is made again";
}

}  // namespace cobuild::solve
