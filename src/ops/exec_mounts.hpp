#pragma once

/// The mounts of one RUN: made ready, given to its container, and made results afterwards.

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/llb/definition.hpp"
#include "core/solve/op.hpp"
#include "core/sys/fs.hpp"
#include "ops/exec/container.hpp"
#include "ops/services.hpp"

namespace cobuild::ops {

/// For one run. What it refers to must outlive it. When it goes, what is still mounted is unmounted,
/// and what was not taken is dropped.
class ExecMounts {
 public:
  ExecMounts(const Services& services, const llb::Vertex& vertex)
      : services_(services), vertex_(vertex) {}

  /// Mounts trees, waits for locked cache mounts, finds secrets and agents. Cancellable.
  /// \throws Error kNotFound for required secrets and agents that nobody gave.
  Task<void> prepare(std::vector<solve::Result> inputs, solve::StepSink& step);

  /// Sets the root of `spec`, its mounts and its secret variables.
  void add_to(ContainerSpec& spec) const;

  /// Once the container is gone: unmounts, and makes the changed trees layers; nothing is committed
  /// before all are unmounted. One result for each output, in their order.
  Task<std::vector<solve::Result>> take_outputs();

 private:
  /// A mount made ready: where its files are, and what becomes of them. Members are destroyed from the
  /// last to the first: the view is unmounted before the layer under it is removed.
  struct Prepared {
    const pb::Mount* mount = nullptr;
    std::optional<store::NewLayer> layer;  ///< Takes the changes of a writable mount.
    std::unique_ptr<store::View> view;
    UniqueFd selected;                       ///< Keeps what `source` names while the step runs.
    std::filesystem::path source;            ///< What is bound into the container.
    store::LayerChain lowers;                ///< What `layer` is stacked on.
    std::optional<solve::Result> passed_on;  ///< The output of a mount that cannot change.
  };

  /// A directory of a cache mount, which may be mounted at several places of the one container.
  struct Cache {
    std::vector<const pb::Mount*> mounts;  ///< Of the first, the sharing counts.
    solve::Result start;                   ///< What it starts as; without layers: empty.
    std::optional<store::Store::Lock> lock;
    std::filesystem::path path;

    [[nodiscard]] const pb::Mount& first() const { return *mounts.front(); }
  };

  [[nodiscard]] const pb::ExecOp& exec() const { return vertex_.op.exec(); }
  [[nodiscard]] solve::Result input_of(const pb::Mount& mount) const;
  [[nodiscard]] std::string travel_id(const pb::Mount& mount) const;
  [[nodiscard]] std::string absolute(const std::string& destination) const;

  Task<void> prepare_caches(solve::StepSink& step);
  Task<void> hold(Cache& cache, std::string& id, solve::StepSink& step);
  Task<std::optional<store::NewLayer>> make_start(const Cache& cache, solve::StepSink& step);
  Task<Prepared> prepare_bind(const pb::Mount& mount, solve::StepSink& step);
  Task<std::unique_ptr<store::View>> view(std::vector<std::filesystem::path> lowers);
  Task<std::unique_ptr<store::View>> edit(std::vector<std::filesystem::path> lowers,
                                          const store::NewLayer& layer);
  [[nodiscard]] Prepared use_cache(const pb::Mount& mount) const;
  void lend_secret(const pb::Mount& mount);
  void lend_agent(const pb::Mount& mount);
  void lend_variables();

  const Services& services_;
  const llb::Vertex& vertex_;
  std::vector<solve::Result> inputs_;
  std::map<std::string, Cache> caches_;          ///< By the id of the first copy.
  std::vector<Prepared> prepared_;               ///< Binds and caches, in the op's order.
  std::vector<ContainerMount> lent_;             ///< Secrets and agents.
  std::vector<std::pair<std::string, Secret>> variables_;
};

}  // namespace cobuild::ops
