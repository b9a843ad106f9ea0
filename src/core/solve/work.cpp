// Making an edge's result, when there is no record of it.

#include <boost/asio/post.hpp>

#include <utility>

#include "core/async/task_group.hpp"
#include "core/base/assert.hpp"
#include "core/solve/solver_impl.hpp"

namespace cobuild::solve {

Task<EdgeOutcome> Solver::Impl::solve_and_tell(EdgeState* edge) {
  EdgeOutcome outcome = co_await solve_edge(edge);
  if (on_result_) on_result_({edge->vertex->vertex, edge->output}, outcome.result);
  co_return outcome;
}

Task<EdgeOutcome> Solver::Impl::solve_edge(EdgeState* edge) {
  co_await asio::post(executor_, asio::use_awaitable);
  edge->was_found = false;
  VertexState& vertex = *edge->vertex;
  KeySet keys = co_await edge->fast->get();
  if (!vertex.ignores_cache()) {
    if (auto found = co_await load(edge, std::move(keys))) co_return std::move(*found);
    keys = co_await edge->slow->get();
    if (auto found = co_await load(edge, std::move(keys))) co_return std::move(*found);
  }
  if (!vertex.inputs.empty()) {
    TaskGroup group(executor_);
    for (std::size_t i = 0; i < vertex.inputs.size(); ++i) group.spawn(take_input(edge, i));
    co_await group.join();
    if (!vertex.ignores_cache()) {
      keys = edge->match->matches();
      if (auto found = co_await load(edge, std::move(keys))) co_return std::move(*found);
    }
  }
  std::optional<EdgeOutcome> made = co_await work_on(edge);
  while (!made) {
    co_await retake_inputs(edge);
    made = co_await work_on(edge);
  }
  co_return *std::move(made);
}

/// Joins the work that is the same as ours, or begins it (F2.6.21). nullopt: layers of an input are
/// lost, and the input can be made again.
Task<std::optional<EdgeOutcome>> Solver::Impl::work_on(EdgeState* edge) {
  Digest const name = work_name(*edge);
  auto place = works_.find(name);
  bool const ours = place == works_.end();
  if (ours) {
    Shared<WorkOutcome> work(executor_, [this, edge] { return do_work(edge); });
    place = works_.emplace(name, std::move(work)).first;
  }
  Shared<WorkOutcome> work = place->second;  // the table may grow while we wait
  WorkOutcome outcome = co_await work.get();
  if (outcome.found && outcome.found_output == edge->output) co_return std::move(*outcome.found);
  if (outcome.found) {
    // Another process has recorded one output; ours must be looked for, or made, on its own.
    outcome = co_await do_work(edge);
    if (outcome.found) co_return std::move(*outcome.found);
  }
  if (outcome.is_void) {
    place = works_.find(name);
    if (place != works_.end() && place->second.is_done()) works_.erase(place);
    co_return std::nullopt;
  }
  auto const output = static_cast<std::size_t>(edge->output);
  COBUILD_ASSERT(output < outcome.results.size(), "an op has a result for each output");
  EdgeOutcome saved = save(*edge, std::move(outcome.results[output]));
  if (!ours && !edge->vertex->reporter.has_started()) {
    edge->vertex->reporter.start(true);
    edge->vertex->reporter.end(true, "");
  }
  co_return saved;
}

Task<WorkOutcome> Solver::Impl::do_work(EdgeState* edge) {
  VertexState& vertex = *edge->vertex;
  WorkOutcome outcome;
  std::optional<store::Store::Lock> claim;
  if (!vertex.ignores_cache()) {
    // Another process may be at the same work. Then wait for it, and take what it has recorded.
    claim.emplace(co_await store_.lock("work " + identity(*edge).hex()));
    KeySet keys;
    if (edge->match) {
      keys = edge->match->matches();
    } else {
      for (const CacheMap& map : vertex.maps) {
        for (store::KeyId const root : keys_.find_roots(root_key(map.op, edge->output))) {
          add_key(keys, root);
        }
      }
    }
    outcome.found = co_await load(edge, std::move(keys));
    outcome.found_output = edge->output;
    if (outcome.found) co_return outcome;
  }
  vertex.worked = edge;
  co_await list_files(edge);
  outcome = co_await run_op(&vertex);
  auto const output = static_cast<std::size_t>(edge->output);
  if (output < outcome.results.size()) {
    // Before the claim goes: whoever waits for it must find the record.
    save(*edge, outcome.results[output]);
    co_await store_.publish();
  }
  co_return outcome;
}

Task<WorkOutcome> Solver::Impl::run_op(VertexState* vertex) {
  std::vector<Result> inputs;
  std::vector<store::LayerChain> read;
  for (EdgeState* input : vertex->inputs) {
    Result result;
    if (input != nullptr) result = (co_await take(input)).result;
    read.push_back(result.layers);
    inputs.push_back(std::move(result));
  }
  std::optional<Semaphore::Slot> slot;
  if (slots_ && vertex->op->takes_slot()) slot.emplace(co_await slots_->acquire());
  vertex->reporter.start(false);
  std::exception_ptr failure;
  WorkOutcome outcome;
  try {
    if (on_explained_) co_await tell_why(vertex);
    outcome.results = co_await vertex->op->run(std::move(inputs), vertex->reporter);
  } catch (...) {
    failure = std::current_exception();
  }
  for (std::size_t i = 0; failure && may_be_lost_layers(failure) && i < read.size(); ++i) {
    outcome.is_void |= is_stale(vertex->inputs[i], read[i]);
  }
  if (outcome.is_void) {
    vertex->reporter.warn(lost_text(failure));
    co_return outcome;
  }
  vertex->failed = failure && !is_cancellation(failure);
  vertex->reporter.end(false, failure ? failure_text(failure) : "");
  if (failure) throw_with_spans(failure, *vertex->vertex);
  co_return outcome;
}

/// Records a result under every key found on the way. Doing it again changes nothing.
EdgeOutcome Solver::Impl::save(EdgeState& edge, Result result) {
  VertexState& vertex = *edge.vertex;
  EdgeOutcome outcome;
  outcome.result = std::move(result);
  outcome.may_match = !vertex.ignores_cache();
  edge.known_result = outcome.result;
  if (outcome.result.unstored) return outcome;
  if (vertex.inputs.empty()) {
    for (const CacheMap& map : vertex.maps) {
      add_key(outcome.keys, keys_.add_root(root_key(map.op, edge.output)));
    }
  } else if (edge.match->is_linkable()) {
    store::KeyId const key = edge.match->key_for_result();
    edge.match->link(key);
    outcome.keys.push_back(key);
  }
  for (store::KeyId const key : outcome.keys) {
    const store::LayerChain& layers = outcome.result.layers;
    keys_.add_result(key, {layers, now(), ingredients(edge, layers, "")});
  }
  edge.known_keys = outcome.keys;
  return outcome;
}

/// Names work by what it reads, so that two vertices that read the same are one. Only after the
/// inputs are known.
Digest Solver::Impl::work_name(EdgeState& edge) {
  VertexState& vertex = *edge.vertex;
  std::string name = vertex.maps[0].op.to_string();
  // One that must run is not satisfied by one that need not; the other way round would do, but is
  // rare.
  if (vertex.ignores_cache()) name += " ignore-cache";
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) {
    name += '\n';
    if (const auto& content = edge.match->content(i)) {
      name += content->to_string();
    } else if (const EdgeState* input = vertex.inputs[i]; input != nullptr && input->known_result) {
      for (store::LayerId const layer : input->known_result->layers) {
        name += std::to_string(layer.value) + ",";
      }
      if (const auto& unstored = input->known_result->unstored) {
        name += "unstored " + std::to_string(reinterpret_cast<std::uintptr_t>(unstored.get()));
      }
    }
  }
  return Digest::of(name);
}

Digest Solver::Impl::identity(EdgeState& edge) {
  // With a list of its own, not by recursion: graphs may be deep.
  std::vector<EdgeState*> path{&edge};
  while (!path.empty()) {
    EdgeState& at = *path.back();
    VertexState& vertex = *at.vertex;
    std::string text = vertex.maps.empty() ? vertex.vertex->digest.to_string()
                                           : root_key(vertex.maps[0].op, at.output).to_string();
    bool complete = true;
    for (std::size_t i = 0; i < vertex.inputs.size() && !at.identity; ++i) {
      EdgeState* const input = vertex.inputs[i];
      bool const by_content =
          at.match && at.match->dependency(i).content_only && at.match->content(i);
      text += '\n';
      if (by_content) {
        text += at.match->content(i)->to_string();
      } else if (input != nullptr && input->identity) {
        text += input->identity->to_string();
      } else if (input != nullptr) {
        complete = false;
        path.push_back(input);
      }
    }
    if (!complete) continue;
    if (!at.identity) at.identity = Digest::of(text);
    path.pop_back();
  }
  return *edge.identity;
}

}  // namespace cobuild::solve
