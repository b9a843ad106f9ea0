#pragma once

/// The solver's inside, for the files of core/solve only.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/async/semaphore.hpp"
#include "core/async/shared.hpp"
#include "core/solve/edge_match.hpp"
#include "core/solve/explainer.hpp"
#include "core/solve/solver.hpp"
#include "core/solve/step_reporter.hpp"

namespace cobuild::solve {

/// What solving an edge came to.
struct EdgeOutcome {
  Result result;
  KeySet keys;  ///< Under which it is recorded. Empty: it is not, and never will be.
  bool may_match =
      true;  ///< False: it was forced to run, so dependents must not be found through it.
};

/// What running a vertex came to; shared by all edges that turn out to be the same work.
struct WorkOutcome {
  std::vector<Result> results;       ///< One for each output, if it ran.
  bool is_void = false;              ///< It could not: layers of an input are lost.
  std::optional<EdgeOutcome> found;  ///< Set: another process was faster; for `found_output` only.
  int found_output = 0;
};

struct EdgeState;

/// A vertex and what is known of it. Lives as long as the solver.
struct VertexState {
  VertexState(std::shared_ptr<const llb::Vertex> v, progress::Sink& sink,
              std::vector<StepReporter*> inputs)
      : vertex(std::move(v)), reporter(sink, vertex, std::move(inputs)) {}

  std::shared_ptr<const llb::Vertex> vertex;
  StepReporter reporter;
  std::unique_ptr<Op> op;      ///< Made when first needed.
  std::vector<CacheMap> maps;  ///< Filled by `load_maps`.
  std::optional<Shared<bool>> load_maps;
  std::vector<EdgeState*> inputs;                  ///< Null for scratch.
  std::map<std::size_t, Shared<Digest>> contents;  ///< By input.

  std::optional<StepDescription> description;  ///< Made when first needed.
  std::map<std::size_t, FileList> files;       ///< What is read of unstored inputs, by input.
  EdgeState* worked = nullptr;                 ///< Set: it ran, for this edge.
  bool failed = false;
  std::optional<Explanation> explanation;

  [[nodiscard]] bool ignores_cache() const { return vertex->metadata.ignore_cache(); }
};

/// One output of a vertex, in four stages, each computed at most once and only when asked for.
struct EdgeState {
  VertexState* vertex = nullptr;
  int output = 0;
  std::optional<EdgeMatch> match;  ///< From the first stage on; only with inputs.
  /// Keys found by definition, without evaluating anything.
  std::optional<Shared<KeySet>> fast;
  /// Keys found without running anything: those, and what they lead to with the user's own files.
  std::optional<Shared<KeySet>> told;
  /// Keys found by content too, which may need inputs' results, but does not need the op's own.
  std::optional<Shared<KeySet>> slow;
  /// The result: loaded, or made.
  std::optional<Shared<EdgeOutcome>> outcome;
  /// What key_records() tells: the keys that were found or made, and the result if there is one.
  KeySet known_keys;
  std::optional<Result> known_result;
  bool was_found = false;  ///< known_result was not made here: its layers may turn out to be lost.
  std::optional<Digest> identity;          ///< \see Impl::identity
  std::optional<std::string> ingredients;  ///< As in its record.
};

class Solver::Impl {
 public:
  Impl(asio::any_io_executor executor, store::Store& store, OpResolver& ops,
       progress::Sink& progress, Options options);

  Task<std::vector<Result>> solve(std::vector<llb::Edge> edges);
  Task<void> adopt_imports();
  Task<std::vector<StepOutcome>> outcomes();
  [[nodiscard]] std::vector<KeyRecord> key_records();

 private:
  // ---- the graph (solver.cpp)
  void add_vertices(const std::vector<llb::Edge>& edges);
  VertexState& add_vertex(const std::shared_ptr<const llb::Vertex>& vertex);
  EdgeState& edge(VertexState& vertex, int output);
  Task<void> solve_into(EdgeState* edge, Result& result);

  // ---- looking for a record (probe.cpp)
  Task<bool> load_maps(VertexState* vertex);
  Task<KeySet> find_fast(EdgeState* edge);
  Task<KeySet> find_told(EdgeState* edge);
  Task<void> ask_input(EdgeState* edge, std::size_t input);
  Task<KeySet> find_slow(EdgeState* edge);
  Task<void> add_fast_keys(EdgeState* edge, std::size_t input);
  Task<void> look_closer(EdgeState* edge, std::size_t input);
  Task<void> look_closer_at(EdgeState* edge, std::vector<std::size_t> inputs);
  Task<void> take_input(EdgeState* edge, std::size_t input);
  Task<Digest> compute_content(VertexState* vertex, std::size_t input);
  [[nodiscard]] bool has_record(const KeySet& keys);
  Task<std::optional<EdgeOutcome>> load(EdgeState* edge, KeySet keys);
  Task<std::optional<store::KeyResult>> take_imported(EdgeState* edge, KeySet& keys);
  Task<store::LayerChain> add_layers(EdgeState* edge, std::vector<const ImportedLayer*> layers);
  EdgeOutcome finish_cached(EdgeState& edge, store::LayerChain layers, KeySet keys);

  // ---- making it (work.cpp)
  Task<EdgeOutcome> solve_and_tell(EdgeState* edge);
  Task<EdgeOutcome> solve_edge(EdgeState* edge);
  Task<std::optional<EdgeOutcome>> work_on(EdgeState* edge);
  Task<WorkOutcome> do_work(EdgeState* edge);
  Task<WorkOutcome> run_op(VertexState* vertex);
  EdgeOutcome save(EdgeState& edge, Result result);
  [[nodiscard]] Digest work_name(EdgeState& edge);
  /// What an edge is, the same in every process: its op and its inputs' identities, but the content
  /// of inputs that are known by content only.
  [[nodiscard]] Digest identity(EdgeState& edge);

  // ---- what it is, for people (explain.cpp)
  /// Notes which of the user's files are read. What goes wrong with that is no failure.
  Task<void> list_files(EdgeState* edge);
  /// What a record of the edge has to say of it. Lists of files become notes about the result.
  [[nodiscard]] const std::string& ingredients(EdgeState& edge, const store::LayerChain& result,
                                               const std::string& cache);
  /// Finds out why the vertex ran. What goes wrong with that is no failure.
  Task<void> explain(VertexState* vertex);
  Task<void> tell_why(VertexState* vertex);

  // ---- layers that turn out to be lost (lost_layers.cpp)
  /// The edge's outcome. One with lost layers is made again, where that can help.
  Task<EdgeOutcome> take(EdgeState* edge);
  [[nodiscard]] bool is_lost(const store::LayerChain& chain) const;
  /// Whether the edge's result has lost layers, and it helps to make it again: it was found, or is
  /// made of one that was.
  [[nodiscard]] bool can_remake(const EdgeState& edge) const;
  /// Whether `read`, which was `edge`'s result, has lost layers, and there is or can be another one.
  [[nodiscard]] bool is_stale(const EdgeState* edge, const store::LayerChain& read) const;
  /// Learns anew what the inputs are, and what is read of them.
  Task<void> retake_inputs(EdgeState* edge);
  Shared<EdgeOutcome> make_outcome(EdgeState* edge);
  Shared<Digest> make_content(VertexState* vertex, std::size_t input);

  asio::any_io_executor executor_;
  store::Store& store_;
  KeyGraph keys_;
  OpResolver& ops_;
  progress::Sink& progress_;
  std::function<void(const llb::Edge&, const Result&)> on_result_;
  std::function<void(const Explanation&, StepSink&)> on_explained_;
  std::string origin_;
  std::function<bool(store::LayerId)> is_lost_;
  Explainer explainer_;
  std::optional<Semaphore> slots_;
  std::unordered_map<VertexDigest, std::unique_ptr<VertexState>> vertices_;
  std::map<std::pair<const VertexState*, int>, std::unique_ptr<EdgeState>> edges_;
  std::vector<EdgeState*> edge_order_;  ///< As they came.
  std::unordered_map<Digest, Shared<WorkOutcome>> works_;
};

/// What a vertex shows for a failure: its words, or "context canceled".
[[nodiscard]] std::string failure_text(const std::exception_ptr& failure);

/// Whether it is a failure of a kind that lost layers lead to.
[[nodiscard]] bool may_be_lost_layers(const std::exception_ptr& failure);

/// What is said of a failure that was a lost layer's.
[[nodiscard]] std::string lost_text(const std::exception_ptr& failure);

/// The failure, with the vertex's place in the user's text. Throws it.
[[noreturn]] void throw_with_spans(const std::exception_ptr& failure, const llb::Vertex& vertex);

}  // namespace cobuild::solve
