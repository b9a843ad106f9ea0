#pragma once

/// The part of exporting images that is done while later steps still run: layers are sealed, and
/// where they are to be pushed, sent. Manifests are the export's, at the end.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/internal_step.hpp"
#include "cli/options.hpp"
#include "cli/push_options.hpp"
#include "cli/workspace.hpp"
#include "core/async/semaphore.hpp"
#include "core/async/task.hpp"
#include "core/llb/definition.hpp"
#include "core/progress/events.hpp"
#include "ops/early_sealer.hpp"

namespace cobuild::cli {

/// Shown only once there is something to show.
class StepWhenNeeded final : public solve::StepSink {
 public:
  /// `sink` must outlive this.
  StepWhenNeeded(progress::Sink& sink, std::string name) : sink_(sink), name_(std::move(name)) {}

  void log(int stream, std::string_view data) override { step().log(stream, data); }
  void status(std::string_view id, std::int64_t current, std::int64_t total, bool done) override {
    step().status(id, current, total, done);
  }
  void warn(std::string_view text) override { step().warn(text); }
  /// Nothing more comes. Again: nothing happens.
  void done();

 private:
  InternalStep& step();

  progress::Sink& sink_;
  std::string name_;
  std::optional<InternalStep> step_;
};

/// Lives on the loop. stop() must have returned before it goes.
class EarlyExport {
 public:
  /// Null when no output has layers that can be sealed before all is built. What is passed by
  /// reference must outlive it.
  [[nodiscard]] static std::unique_ptr<EarlyExport> make(const BuildOptions& options,
                                                         Workspace& workspace,
                                                         progress::Sink& progress);

  /// An image of `edge` will be exported. Before anything is solved.
  void add_target(const llb::Edge& edge) { sealer_.add_target(edge); }
  /// For solve::Solver::Options::on_result.
  void add_result(const llb::Edge& edge, const solve::Result& result) {
    sealer_.add_result(edge, result);
  }
  /// All is built: nothing more is begun.
  void close() { sealer_.close(); }
  /// Waits until nothing is on its way any more: before what is missing is pushed.
  Task<void> join();
  /// Gives up what is on its way, and waits until it is gone.
  Task<void> stop();

 private:
  /// What is done with layers that are sealed in one way.
  struct Plan {
    ops::SealRequest request;
    std::vector<PushOptions> pushes;
  };

  EarlyExport(std::vector<Plan> plans, Workspace& workspace, progress::Sink& progress);
  [[nodiscard]] static std::vector<ops::SealRequest> requests(const std::vector<Plan>& plans);
  Task<void> push(store::LayerId id, std::size_t plan, oci::ImageLayer layer);

  std::vector<Plan> plans_;
  Workspace& workspace_;
  StepWhenNeeded step_;
  Semaphore uploads_;
  bool has_failed_ = false;  ///< A push: the others wait for the export.
  ops::EarlySealer sealer_;  ///< Refers to the others.
};

}  // namespace cobuild::cli
