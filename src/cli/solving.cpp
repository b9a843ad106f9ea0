#include "cli/solving.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "cli/cache_transfer.hpp"
#include "cli/early_export.hpp"
#include "cli/internal_step.hpp"
#include "cli/last_build.hpp"
#include "core/async/cleanup.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "ops/exec_op.hpp"

namespace cobuild::cli {
namespace {

/// The entitlement that a step needs and has not; null: none.
const char* missing_entitlement(const pb::ExecOp& exec, const BuildOptions& options) {
  auto const allowed = [&options](std::string_view name) {
    return std::ranges::find(options.entitlements, name) != options.entitlements.end();
  };
  if (exec.security() == pb::INSECURE && !allowed("security.insecure")) return "security.insecure";
  if (exec.network() == pb::HOST && !allowed("network.host")) return "network.host";
  return nullptr;
}

/// What needs an --allow and has none is refused before anything runs (F7.5.3, F7.5.4, F10.66).
void check_entitlements(const llb::Graph& graph, const BuildOptions& options, ops::CdiDevices& devices) {
  for (const auto& vertex : graph.vertices) {
    if (!vertex->op.has_exec()) continue;
    try {
      if (const char* const missing = missing_entitlement(vertex->op.exec(), options)) {
        throw Error(ErrorKind::kDenied,
                    std::string(missing) + " is not allowed: --allow " + missing + " grants it");
      }
      if (!vertex->op.exec().cdidevices().empty()) {
        static_cast<void>(devices.find(ops::device_requests(vertex->op.exec())));
      }
    } catch (const Error& refusal) {
      Error error = refusal.with_context("failed to load LLB");
      for (const SourceSpan& span : vertex->spans) error = error.with_span(span);
      throw error;
    }
  }
}

/// The cache mounts of steps that ignore the cache.
std::vector<std::string> cache_mounts_of(const std::vector<llb::Graph>& graphs) {
  std::vector<std::string> ids;
  for (const llb::Graph& graph : graphs) {
    for (const auto& vertex : graph.vertices) {
      if (!vertex->op.has_exec() || !vertex->metadata.ignore_cache()) continue;
      for (const pb::Mount& mount : vertex->op.exec().mounts()) {
        if (mount.mounttype() != pb::CACHE) continue;
        ids.push_back(mount.cacheopt().id().empty() ? mount.dest() : mount.cacheopt().id());
      }
    }
  }
  return ids;
}

/// A graph is what the frontend or the user gave; an empty definition is scratch.
llb::Graph load_graph(const pb::Definition& definition, const BuildOptions& options,
                      ops::CdiDevices& devices) {
  Timings::Span const span(Phase::kParse);
  if (definition.def().empty()) return {};
  llb::LoadOptions load_options;
  load_options.default_platform = llb::host_platform();
  llb::Graph graph = llb::load(definition, load_options);
  check_entitlements(graph, options, devices);
  return graph;
}

solve::Solver::Options solver_options(std::vector<solve::ImportedCache> imports,
                                      const BuildOptions& build, Workspace& workspace) {
  solve::Solver::Options options;
  options.imports = std::move(imports);
  options.is_lost = [&workspace](store::LayerId id) { return workspace.fetcher.is_lost(id); };
  if (EarlyExport* const early = workspace.early) {
    options.on_result = [early](const llb::Edge& edge, const solve::Result& result) {
      early->add_result(edge, result);
    };
  }
  options.origin = build_origin(build);
  if (build.explain) options.on_explained = log_explanation;
  return options;
}

}  // namespace

Solving::Solving(const std::vector<pb::Definition>& definitions,
                 std::vector<solve::ImportedCache> imports, const BuildOptions& options,
                 Workspace& workspace, progress::Sink& progress)
    : options_(options),
      workspace_(workspace),
      progress_(progress),
      contexts_{options.locals},
      resolver_(workspace.services, workspace.images, contexts_, workspace.remote),
      solver_(workspace.runtime.loop().get_executor(), *workspace.store, resolver_, progress,
              solver_options(std::move(imports), options, workspace)) {
  for (const pb::Definition& definition : definitions) {
    graphs_.push_back(load_graph(definition, options, workspace.devices));
    if (!graphs_.back().result.vertex) continue;
    edges_.push_back(graphs_.back().result);
    if (workspace.early != nullptr) workspace.early->add_target(edges_.back());
  }
}

Task<void> Solving::clear_cache_mounts() {
  std::vector<std::string> ids = cache_mounts_of(graphs_);
  if (!ids.empty()) co_await workspace_.store->clear_cache_mounts(std::move(ids));
}

Task<bool> Solving::solve(BuiltResult& result) {
  std::vector<solve::Result> results = co_await with_cleanup(
      solver_.solve(edges_), report_steps(solver_, describe_build(options_), workspace_.report));
  if (workspace_.early != nullptr) workspace_.early->close();
  bool is_other = false;
  for (std::size_t i = 0, next = 0; i < graphs_.size(); ++i) {
    if (!graphs_[i].result.vertex) continue;  // scratch
    solve::Result made = std::move(results.at(next++));
    store::LayerChain& layers = result.targets[i].layers;
    if (!made.unstored) {
      is_other |= layers != made.layers;
      layers = std::move(made.layers);
    } else if (layers.empty()) {
      // Only hand-made LLB ends in a directory of the user's.
      auto copy = [&](InternalStep& step) {
        return ops::materialise(workspace_.services, made, step);
      };
      layers = co_await in_step<store::LayerChain>(progress_, "copying local directory", copy);
    }
  }
  if (!exports_cache(options_)) co_return is_other;
  co_await solver_.adopt_imports();
  result.keys = {solver_.key_records(), {}};
  for (const BuiltTarget& target : result.targets) result.keys.results.push_back(target.layers);
  co_return is_other;
}

bool Solving::has_lost(const BuiltResult& result) const {
  return std::ranges::any_of(result.targets, [this](const BuiltTarget& target) {
    return std::ranges::any_of(target.layers, [this](store::LayerId id) {
      return workspace_.fetcher.is_lost(id);
    });
  });
}

}  // namespace cobuild::cli
