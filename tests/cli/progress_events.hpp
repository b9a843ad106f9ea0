#pragma once

/// Short names for progress events in tests, on a clock that the test moves.

#include <string>

#include "core/progress/events.hpp"

namespace cobuild::cli::test {

inline Digest digest_of(const std::string& name) {
  return Digest::of(std::string_view(name));
}

/// Seconds after the test's beginning of time.
inline Timestamp at(double seconds) {
  return Timestamp(std::chrono::seconds(1'000'000)) +
         std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::duration<double>(seconds));
}

inline progress::Vertex vertex(const std::string& name) {
  progress::Vertex vertex{digest_of(name), {},           name, false,
                          std::nullopt,    std::nullopt, {},   std::nullopt};
  return vertex;
}

inline progress::Vertex started(const std::string& name, double start) {
  auto event = vertex(name);
  event.started = at(start);
  return event;
}

inline progress::Vertex ended(const std::string& name, double start, double end,
                              const std::string& error = {}) {
  auto event = started(name, start);
  event.completed = at(end);
  event.error = error;
  return event;
}

inline progress::Vertex cached(const std::string& name, double time) {
  auto event = ended(name, time, time);
  event.cached = true;
  return event;
}

inline progress::Log log(const std::string& name, double time, const std::string& data) {
  return progress::Log{digest_of(name), 1, data, at(time)};
}

inline progress::Status status(const std::string& name, const std::string& id, double start,
                               double time, std::int64_t current, std::int64_t total,
                               bool done = false) {
  progress::Status event{id,    digest_of(name), "",        current,
                         total, at(time),        at(start), std::nullopt};
  if (done) event.completed = at(time);
  return event;
}

inline progress::Warning warning(const std::string& name, const std::string& text) {
  return progress::Warning{digest_of(name), 1, text, {}, "", "", nullptr, {}};
}

}  // namespace cobuild::cli::test
