// What steps are, for people: written with their records, and asked for when one ran.

#include <set>
#include <utility>

#include "core/solve/kept_name.hpp"
#include "core/solve/solver_impl.hpp"

namespace cobuild::solve {
namespace {

constexpr std::string_view kLocalScheme = "local://";

bool is_local_source(const llb::Vertex& vertex) {
  return vertex.op.has_source() && vertex.op.source().identifier().starts_with(kLocalScheme);
}

/// Of a vertex whose op knows itself by now.
const StepDescription& described(VertexState& vertex, const std::string& origin) {
  if (!vertex.description) {
    vertex.description =
        StepDescription{kept_name(vertex.vertex->name), origin, "", vertex.op->describe(), {}};
  }
  return *vertex.description;
}

}  // namespace

Task<void> Solver::Impl::list_files(EdgeState* edge) {
  VertexState& vertex = *edge->vertex;
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) {
    EdgeState* const input = vertex.inputs[i];
    bool const is_read = edge->match->content(i) && input != nullptr && input->known_result &&
                         input->known_result->unstored;
    if (!is_read || vertex.files.contains(i)) continue;
    try {
      std::optional<FileList> list = co_await vertex.op->read_files(i, *input->known_result);
      if (list) vertex.files.emplace(i, std::move(*list));
    } catch (const Error&) {
      // Then a later build cannot say which files are others.
    }
  }
}

const std::string& Solver::Impl::ingredients(EdgeState& edge, const store::LayerChain& result,
                                             const std::string& cache) {
  if (edge.ingredients) return *edge.ingredients;
  VertexState& vertex = *edge.vertex;
  StepDescription step = described(vertex, origin_);
  if (step.op.kind.empty()) return edge.ingredients.emplace();
  step.cache = cache;
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) {
    const auto& content = edge.match->content(i);
    if (!content) continue;
    ContentNote note{*content, std::nullopt};
    const EdgeState* const input = vertex.inputs[i];
    if (auto const listed = vertex.files.find(i); listed != vertex.files.end()) {
      if (!result.empty()) {
        note.list = result.back();
        store_.put_layer_note(result.back(), file_list_note(*content), encode(listed->second));
      }
    } else if (input != nullptr && input->known_result && !input->known_result->layers.empty()) {
      note.list = input->known_result->layers.back();  // content_digest has put it there
    }
    step.contents.emplace(i, note);
  }
  return edge.ingredients.emplace(to_json(step));
}

Task<void> Solver::Impl::explain(VertexState* vertex) {
  if (vertex->explanation || described(*vertex, origin_).op.kind.empty()) co_return;
  try {
    co_await explainer_.load();
    // What leads to it is compared too.
    for (EdgeState* const edge : edge_order_) {
      if (edge->vertex->op && !edge->vertex->maps.empty()) {
        (void)described(*edge->vertex, origin_);
      }
      if (edge->vertex == vertex) break;
    }
    vertex->explanation = explainer_.explain(*vertex->worked);
  } catch (const Error&) {
    // Then nobody is told.
  }
}

Task<void> Solver::Impl::tell_why(VertexState* vertex) {
  co_await explain(vertex);
  if (vertex->explanation) on_explained_(*vertex->explanation, vertex->reporter);
}

Task<std::vector<StepOutcome>> Solver::Impl::outcomes() {
  std::vector<StepOutcome> outcomes;
  std::set<const VertexState*> seen;
  for (EdgeState* const edge : edge_order_) {
    VertexState& vertex = *edge->vertex;
    bool const is_told =
        !is_local_source(*vertex.vertex) && vertex.reporter.has_started() && vertex.op;
    if (!is_told || !seen.insert(&vertex).second) continue;
    StepOutcome step;
    step.name = kept_name(vertex.vertex->name);
    if (vertex.worked != nullptr) {
      if (described(vertex, origin_).op.kind.empty()) continue;
      step.outcome = vertex.failed ? Outcome::kFailed : Outcome::kRan;
      co_await explain(&vertex);
      step.explanation = vertex.explanation;
    }
    outcomes.push_back(std::move(step));
  }
  co_return outcomes;
}

}  // namespace cobuild::solve
