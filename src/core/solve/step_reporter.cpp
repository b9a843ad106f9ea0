#include "core/solve/step_reporter.hpp"

#include <utility>

#include "core/solve/kept_name.hpp"

namespace cobuild::solve {

StepReporter::StepReporter(progress::Sink& sink, std::shared_ptr<const llb::Vertex> vertex,
                           std::vector<StepReporter*> inputs)
    : sink_(sink),
      vertex_{.digest = vertex->digest.digest(),
              .inputs = {},
              .name = kept_name(vertex->name),
              .cached = false,
              .started = {},
              .completed = {},
              .error = {},
              .group = {}},
      inputs_(std::move(inputs)) {
  for (const StepReporter* input : inputs_) vertex_.inputs.push_back(input->vertex_.digest);
  if (vertex->metadata.has_progress_group()) {
    const pb::ProgressGroup& group = vertex->metadata.progress_group();
    vertex_.group = progress::Group{group.id(), group.name(), group.weak()};
  }
  sink_.on_vertex(vertex_);
}

void StepReporter::log(int stream, std::string_view data) {
  sink_.on_log({vertex_.digest, stream, std::string(data), now()});
}

void StepReporter::status(std::string_view id, std::int64_t current, std::int64_t total,
                          bool done) {
  Timestamp const time = now();
  auto const started = statuses_.emplace(std::string(id), time).first->second;
  progress::Status status{.id = std::string(id),
                          .vertex = vertex_.digest,
                          .name = std::string(id),
                          .current = current,
                          .total = total,
                          .timestamp = time,
                          .started = started,
                          .completed = {}};
  if (done) status.completed = time;
  sink_.on_status(status);
}

void StepReporter::warn(std::string_view text) {
  progress::Warning warning{.vertex = vertex_.digest,
                            .level = 1,
                            .summary = std::string(text),
                            .detail = {},
                            .url = {},
                            .filename = {},
                            .text = {},
                            .ranges = {}};
  sink_.on_warning(warning);
}

void StepReporter::start(bool cached) {
  start_at(now(), cached);
}

void StepReporter::start_at(Timestamp time, bool cached) {
  mark_inputs_cached(time);
  vertex_.started = time;
  vertex_.completed.reset();
  vertex_.cached = cached;
  vertex_.error.clear();
  sink_.on_vertex(vertex_);
}

void StepReporter::mark_inputs_cached(Timestamp time) {
  // With a list of its own, not by recursion: graphs may be deep.
  std::vector<std::pair<StepReporter*, std::size_t>> path{{this, 0}};
  while (!path.empty()) {
    auto& [reporter, next] = path.back();
    if (next < reporter->inputs_.size()) {
      StepReporter* input = reporter->inputs_[next++];
      if (!input->vertex_.completed && !input->vertex_.started) path.emplace_back(input, 0);
      continue;
    }
    if (reporter != this && !reporter->vertex_.completed) {
      reporter->vertex_.cached = true;
      reporter->vertex_.started = time;
      reporter->vertex_.completed = time;
      sink_.on_vertex(reporter->vertex_);
    }
    path.pop_back();
  }
}

void StepReporter::end(bool cached, const std::string& error) {
  Timestamp const time = now();
  vertex_.cached = cached;
  vertex_.completed = time;
  vertex_.error = error;
  sink_.on_vertex(vertex_);
}

}  // namespace cobuild::solve
