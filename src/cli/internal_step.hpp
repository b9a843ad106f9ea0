#pragma once

/// Work of the builder's own that people see beside the vertices: loading the Dockerfile, resolving
/// a base image, exporting.

#include <exception>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "core/async/context.hpp"
#include "core/async/task.hpp"
#include "core/progress/events.hpp"
#include "core/solve/op.hpp"

namespace cobuild::cli {

/// A progress vertex without a place in the graph. Starts when made; ends with done() or failed().
class InternalStep final : public solve::StepSink {
 public:
  /// `sink` must outlive the step. Two steps with one name are two vertices.
  InternalStep(progress::Sink& sink, std::string name);

  void log(int stream, std::string_view data) override;
  void status(std::string_view id, std::int64_t current, std::int64_t total, bool done) override;
  void warn(std::string_view text) override;

  void done(bool cached = false);
  void failed(const std::string& error);

  [[nodiscard]] const Digest& digest() const noexcept { return vertex_.digest; }

 private:
  progress::Sink& sink_;
  progress::Vertex vertex_;
  std::map<std::string, Timestamp, std::less<>> started_;  ///< By status id.
};

/// What a failed step shows: the error's words, or "context canceled".
[[nodiscard]] std::string step_error(const std::exception_ptr& error);

/// Runs `work(step)` as one step named `name`, and ends the step however the work ends.
template <class T, class Work>
Task<T> in_step(progress::Sink& sink, std::string name, Work work) {
  InternalStep step(sink, std::move(name));
  std::exception_ptr failure;
  try {
    if constexpr (std::is_void_v<T>) {
      co_await work(step);
      step.done();
      co_return;
    } else {
      T value = co_await work(step);
      step.done();
      co_return value;
    }
  } catch (...) {
    failure = std::current_exception();
  }
  step.failed(step_error(failure));
  std::rethrow_exception(failure);
}

}  // namespace cobuild::cli
