// Looking for a record of an edge: by definition first, then by content.

#include <boost/asio/post.hpp>

#include <algorithm>
#include <tuple>
#include <utility>

#include "core/async/task_group.hpp"
#include "core/base/assert.hpp"
#include "core/base/chain_id.hpp"
#include "core/solve/kept_name.hpp"
#include "core/solve/solver_impl.hpp"
#include "core/store/hearsay.hpp"

namespace cobuild::solve {

Task<bool> Solver::Impl::load_maps(VertexState* vertex) {
  // Each stage of each edge begins with a turn of the loop: a chain of inputs must not become a
  // chain of stack frames.
  co_await asio::post(executor_, asio::use_awaitable);
  bool const is_source = vertex->inputs.empty();
  std::exception_ptr failure;
  try {
    if (!vertex->op) vertex->op = ops_.resolve(vertex->vertex);
    if (is_source) vertex->reporter.start(false);  // it may ask the network, which takes a while
    vertex->maps = co_await vertex->op->cache_maps(vertex->reporter);
    COBUILD_ASSERT(!vertex->maps.empty(), "an op has a cache map");
    COBUILD_ASSERT(is_source || vertex->maps[0].dependencies.size() == vertex->inputs.size(),
                   "a cache map tells of each input");
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    if (!is_source) vertex->reporter.start(false);
    vertex->reporter.end(false, failure_text(failure));
    throw_with_spans(failure, *vertex->vertex);
  }
  if (is_source) {
    bool known = false;
    for (const CacheMap& map : vertex->maps) {
      if (vertex->ignores_cache()) break;
      known |= has_record(keys_.find_roots(root_key(map.op, 0)));
    }
    vertex->reporter.end(known, "");
  }
  co_return true;
}

Task<KeySet> Solver::Impl::find_fast(EdgeState* edge) {
  co_await asio::post(executor_, asio::use_awaitable);
  VertexState& vertex = *edge->vertex;
  TaskGroup group(executor_);
  auto load = [](VertexState* state) -> Task<void> { co_await state->load_maps->get(); };
  group.spawn(load(&vertex));
  for (EdgeState* input : vertex.inputs) {
    // Asked for side by side, and taken below: a source far down may have to ask the network.
    auto ask = [](EdgeState* state) -> Task<void> { co_await state->fast->get(); };
    if (input != nullptr) group.spawn(ask(input));
  }
  co_await group.join();

  KeySet keys;
  if (vertex.inputs.empty()) {
    for (const CacheMap& map : vertex.maps) {
      if (vertex.ignores_cache()) break;
      for (store::KeyId const root : keys_.find_roots(root_key(map.op, edge->output))) {
        add_key(keys, root);
      }
    }
  } else {
    edge->match.emplace(keys_, vertex.maps[0].op, edge->output, vertex.maps[0].dependencies);
    for (std::size_t i = 0; i < vertex.inputs.size(); ++i) co_await add_fast_keys(edge, i);
    if (!vertex.ignores_cache()) keys = edge->match->matches();
  }
  edge->known_keys = keys;
  co_return keys;
}

Task<void> Solver::Impl::add_fast_keys(EdgeState* edge, std::size_t input) {
  EdgeState* const from = edge->vertex->inputs[input];
  if (from == nullptr) {
    edge->match->add_definition_keys(input, {keys_.add_root(Digest::of("scratch"))}, true);
    co_return;
  }
  KeySet const keys = co_await from->fast->get();
  edge->match->add_definition_keys(input, keys, true);
}

bool Solver::Impl::has_record(const KeySet& keys) {
  return std::any_of(keys.begin(), keys.end(),
                     [&](store::KeyId key) { return keys_.has_result(key); });
}

/// What can be told of an edge without running anything: by definition, and by the content of what is
/// known by its content only, which is the user's own files.
Task<KeySet> Solver::Impl::find_told(EdgeState* edge) {
  co_await asio::post(executor_, asio::use_awaitable);
  KeySet keys = co_await edge->fast->get();
  VertexState& vertex = *edge->vertex;
  if (vertex.inputs.empty() || vertex.ignores_cache() || !keys.empty()) co_return keys;
  TaskGroup group(executor_);
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) group.spawn(ask_input(edge, i));
  co_await group.join();
  keys = edge->match->matches();
  edge->known_keys = keys;
  co_return keys;
}

Task<void> Solver::Impl::ask_input(EdgeState* edge, std::size_t input) {
  EdgeState* const from = edge->vertex->inputs[input];
  if (from == nullptr) co_return;
  if (edge->match->dependency(input).content_only) {
    co_await take_input(edge, input);
    co_return;
  }
  KeySet const keys = co_await from->told->get();
  edge->match->add_definition_keys(input, keys, true);
}

Task<KeySet> Solver::Impl::find_slow(EdgeState* edge) {
  co_await asio::post(executor_, asio::use_awaitable);
  KeySet keys = co_await edge->told->get();
  VertexState& vertex = *edge->vertex;
  // A key without a record will do for those who ask on behalf of what this edge leads to.
  if (vertex.inputs.empty() || vertex.ignores_cache() || !keys.empty()) co_return keys;
  EdgeMatch& match = *edge->match;

  // First the inputs that match nothing yet. If one of them does not match then either, there is no
  // record, and the others need not be looked at.
  std::vector<std::size_t> unmatched;
  std::vector<std::size_t> matched;
  for (std::size_t i = 0; i < match.input_count(); ++i) {
    (match.candidates(i).empty() ? unmatched : matched).push_back(i);
  }
  co_await look_closer_at(edge, unmatched);
  keys = match.matches();
  bool const possible = std::none_of(unmatched.begin(), unmatched.end(),
                                     [&](std::size_t i) { return match.candidates(i).empty(); });
  if (possible && !has_record(keys)) {
    co_await look_closer_at(edge, matched);
    keys = match.matches();
  }
  // What leads to these keys leads to the same results, so that the next build need not look
  // closer.
  for (store::KeyId const key : keys) match.link(key);
  edge->known_keys = keys;
  co_return keys;
}

Task<void> Solver::Impl::look_closer_at(EdgeState* edge, std::vector<std::size_t> inputs) {
  TaskGroup group(executor_);
  for (std::size_t const input : inputs) group.spawn(look_closer(edge, input));
  co_await group.join();
}

/// Learns more keys of an input: what is read of it, where that counts, else its own slow keys.
Task<void> Solver::Impl::look_closer(EdgeState* edge, std::size_t input) {
  EdgeState* const from = edge->vertex->inputs[input];
  if (from == nullptr) co_return;
  if (edge->match->dependency(input).content_keyed) {
    co_await take_input(edge, input);
    co_return;
  }
  KeySet const keys = co_await from->slow->get();
  edge->match->add_definition_keys(input, keys, true);
}

/// Gets an input's result and learns all that it tells.
Task<void> Solver::Impl::take_input(EdgeState* edge, std::size_t input) {
  EdgeState* const from = edge->vertex->inputs[input];
  if (from != nullptr) {
    EdgeOutcome const outcome = co_await take(from);
    edge->match->add_definition_keys(input, outcome.keys, outcome.may_match);
  }
  if (!edge->match->dependency(input).content_keyed) co_return;
  Digest const content = co_await edge->vertex->contents.at(input).get();
  edge->match->set_content(input, content);
}

Task<Digest> Solver::Impl::compute_content(VertexState* vertex, std::size_t input) {
  co_await asio::post(executor_, asio::use_awaitable);
  EdgeState* const from = vertex->inputs[input];
  std::exception_ptr failure;
  store::LayerChain read;
  do {
    if (failure) vertex->reporter.warn(lost_text(failure));
    Result result;
    if (from != nullptr) result = (co_await take(from)).result;
    read = result.layers;
    try {
      co_return co_await in_context(
          vertex->op->content_digest(input, std::move(result), vertex->reporter),
          [] { return "failed to compute cache key"; });  // F9.1.4
    } catch (...) {
      failure = std::current_exception();
    }
  } while (may_be_lost_layers(failure) && is_stale(from, read));
  vertex->reporter.start(false);
  vertex->reporter.end(false, failure_text(failure));
  throw_with_spans(failure, *vertex->vertex);
}

/// Takes the newest result that is still whole; one of an imported cache when the store has none.
Task<std::optional<EdgeOutcome>> Solver::Impl::load(EdgeState* edge, KeySet keys) {
  std::vector<std::pair<store::KeyResult, store::KeyId>> results;
  for (store::KeyId const key : keys) {
    for (store::KeyResult& result : keys_.results(key))
      results.emplace_back(std::move(result), key);
  }
  std::sort(results.begin(), results.end(), [](const auto& a, const auto& b) {
    return std::tie(b.first.created_at, b.first.chain) <
           std::tie(a.first.created_at, a.first.chain);
  });
  std::vector<store::KeyId> gone;
  for (auto& [result, key] : results) {
    if (is_lost(result.chain)) continue;
    if (!co_await store_.use(result.chain)) {
      gone.push_back(key);
      continue;
    }
    if (edge->match) edge->match->link(key);
    for (const CacheMap& map : edge->vertex->maps) {
      // A source found under one of its names is found under the others next time.
      if (edge->match) break;
      store::KeyId const root = keys_.add_root(root_key(map.op, edge->output));
      if (root != keys_.current(key)) keys_.add_result(root, result);
      add_key(keys, root);
    }
    co_return finish_cached(*edge, std::move(result.chain), std::move(keys));
  }
  for (store::KeyId const key : gone) keys_.drop_results(key);
  if (auto taken = co_await take_imported(edge, keys)) {
    co_return finish_cached(*edge, std::move(taken->chain), std::move(keys));
  }
  co_return std::nullopt;
}

EdgeOutcome Solver::Impl::finish_cached(EdgeState& edge, store::LayerChain layers, KeySet keys) {
  EdgeOutcome outcome;
  outcome.result.layers = std::move(layers);
  outcome.keys = keys;
  edge.known_keys = std::move(keys);
  edge.known_result = outcome.result;
  edge.was_found = true;
  edge.vertex->reporter.start(true);
  edge.vertex->reporter.end(true, "");
  return outcome;
}

/// Makes the newest result that an import has under one of `keys`, and that is not lost, the
/// store's own, and adds the store's key to them.
Task<std::optional<store::KeyResult>> Solver::Impl::take_imported(EdgeState* edge, KeySet& keys) {
  std::vector<std::pair<const ImportedResult*, store::KeyId>> results;
  for (store::KeyId const key : keys) {
    for (const ImportedResult& result : keys_.imported_results(key)) results.emplace_back(&result, key);
  }
  std::sort(results.begin(), results.end(), [](const auto& a, const auto& b) {
    return std::tie(b.first->created_at, a.second, a.first->layers) <
           std::tie(a.first->created_at, b.second, b.first->layers);
  });
  if (results.size() > kImportedResultsMax) results.resize(kImportedResultsMax);
  for (const auto& [result, from] : results) {
    store::KeyResult taken{co_await add_layers(edge, keys_.imported_layers(from, *result)),
                           result->created_at, {}};
    if (taken.chain.empty() || is_lost(taken.chain)) continue;
    co_await list_files(edge);
    taken.ingredients = ingredients(*edge, taken.chain, keys_.cache_name(from));
    store::KeyId const key = keys_.adopt(from);
    if (edge->match) edge->match->link(key);
    keys_.add_result(key, taken);
    add_key(keys, key);
    co_return taken;
  }
  co_return std::nullopt;
}

Task<store::LayerChain> Solver::Impl::add_layers(EdgeState* edge,
                                                 std::vector<const ImportedLayer*> layers) {
  store::LayerChain added;
  std::optional<ChainId> chain;
  for (const ImportedLayer* layer : layers) {
    chain = extend_chain(chain, layer->diff_id);
    store::LayerAttributes attributes;
    attributes.description = kept_name(edge->vertex->vertex->name);
    attributes.diff_id = layer->diff_id;
    attributes.blob = layer->blob;
    added.push_back(
        co_await store::add_layer_by_hearsay(store_, *chain, std::move(attributes)));
  }
  co_return added;
}

Task<void> Solver::Impl::adopt_imports() {
  // Inputs come before their users; the list does not grow any more.
  for (EdgeState* const edge : edge_order_) {
    if (edge->vertex->ignores_cache() || edge->known_result) continue;
    KeySet keys = edge->known_keys;
    bool const here = std::any_of(keys.begin(), keys.end(), [&](store::KeyId key) {
      return !keys_.results(key).empty();
    });
    if (here || !co_await take_imported(edge, keys)) continue;
    edge->known_keys = std::move(keys);
  }
  co_await store_.publish();
}

}  // namespace cobuild::solve
