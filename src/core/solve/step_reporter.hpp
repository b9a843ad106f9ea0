#pragma once

/// From what the solver does to the events people see (F2.7.2, F2.7.3). Private to core/solve.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/llb/definition.hpp"
#include "core/progress/events.hpp"
#include "core/solve/op.hpp"

namespace cobuild::solve {

/// One vertex's progress. It is announced once, and may start and end several times: a source when
/// it is resolved, and again when it is read.
class StepReporter final : public StepSink {
 public:
  /// Announces the vertex. `inputs` are the reporters of its inputs; all outlive this one.
  StepReporter(progress::Sink& sink, std::shared_ptr<const llb::Vertex> vertex,
               std::vector<StepReporter*> inputs);

  void log(int stream, std::string_view data) override;
  void status(std::string_view id, std::int64_t current, std::int64_t total, bool done) override;
  void warn(std::string_view text) override;

  /// The vertex has begun. Inputs that have not ended were not needed: they count as cached.
  void start(bool cached);
  /// It has ended. `error`: empty when it went well.
  void end(bool cached, const std::string& error);

  [[nodiscard]] bool has_started() const noexcept { return vertex_.started.has_value(); }

 private:
  void start_at(Timestamp time, bool cached);
  void mark_inputs_cached(Timestamp time);

  progress::Sink& sink_;
  progress::Vertex vertex_;
  std::vector<StepReporter*> inputs_;
  std::map<std::string, Timestamp, std::less<>> statuses_;  ///< When each began.
};

}  // namespace cobuild::solve
