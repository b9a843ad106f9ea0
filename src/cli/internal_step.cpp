#include "cli/internal_step.hpp"

namespace cobuild::cli {
namespace {

/// Any digest that no other vertex has: the process, a counter and the time make one.
Digest unique_digest(const std::string& name) {
  static std::uint64_t count = 0;  // The loop is one thread.
  return Digest::of(std::string_view("internal " + name + " " + std::to_string(++count) + " " +
                                     format_rfc3339(now())));
}

}  // namespace

InternalStep::InternalStep(progress::Sink& sink, std::string name)
    : sink_(sink), vertex_{.digest = unique_digest(name), .inputs = {}, .name = std::move(name),
                           .cached = false, .started = now(), .completed = {}, .error = {},
                           .group = {}} {
  sink_.on_vertex(vertex_);
}

void InternalStep::log(int stream, std::string_view data) {
  sink_.on_log({vertex_.digest, stream, std::string(data), now()});
}

void InternalStep::status(std::string_view id, std::int64_t current, std::int64_t total,
                          bool done) {
  Timestamp const time = now();
  auto started = started_.find(id);
  if (started == started_.end()) started = started_.emplace(std::string(id), time).first;
  progress::Status status{.id = std::string(id), .vertex = vertex_.digest, .name = {},
                          .current = current, .total = total, .timestamp = time,
                          .started = started->second, .completed = {}};
  if (done) status.completed = time;
  sink_.on_status(status);
}

void InternalStep::warn(std::string_view text) {
  progress::Warning warning{.vertex = vertex_.digest, .level = 1, .summary = std::string(text),
                            .detail = {}, .url = {}, .filename = {}, .text = {}, .ranges = {}};
  sink_.on_warning(warning);
}

void InternalStep::done(bool cached) {
  vertex_.cached = cached;
  vertex_.completed = now();
  sink_.on_vertex(vertex_);
}

void InternalStep::failed(const std::string& error) {
  vertex_.error = error;
  vertex_.completed = now();
  sink_.on_vertex(vertex_);
}

std::string step_error(const std::exception_ptr& error) {
  if (is_cancellation(error)) return "context canceled";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace cobuild::cli
