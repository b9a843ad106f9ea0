#include "core/base/timings.hpp"

#include <sys/resource.h>
#include <sys/time.h>

#include <algorithm>
#include <ctime>

namespace cobuild {
namespace {

constexpr std::array<std::string_view, kPhases> kNames = {
    "start", "namespace", "parse",   "scan",   "hash", "resolve", "probe", "store", "pull",
    "copy",  "mount",     "runtime", "commit", "seal", "export",  "flush", "close"};

constinit Timings the_timings;

ResourceUse resources_used_by(int whom) noexcept {
  rusage usage = {};
  ::getrusage(whom, &usage);
  auto const to_duration = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return {.user = to_duration(usage.ru_utime),
          .system = to_duration(usage.ru_stime),
          .peak_bytes = std::int64_t{usage.ru_maxrss} * 1024};
}

}  // namespace

std::string_view to_string(Phase phase) noexcept {
  return kNames[static_cast<std::size_t>(phase)];
}

ResourceUse resources_used() noexcept {
  return resources_used_by(RUSAGE_SELF) + resources_used_by(RUSAGE_CHILDREN);
}

ResourceUse operator+(const ResourceUse& a, const ResourceUse& b) noexcept {
  return {.user = a.user + b.user,
          .system = a.system + b.system,
          .peak_bytes = std::max(a.peak_bytes, b.peak_bytes)};
}

void Timings::Union::begin(Time at) noexcept {
  if (active++ == 0) since = at;
}

void Timings::Union::end(Time at) noexcept {
  if (--active == 0) covered += at - since;
}

Timings::Duration Timings::Union::covered_at(Time at) const noexcept {
  return active == 0 ? covered : covered + (at - since);
}

void Timings::enable(Time process_start, Time at) {
  {
    std::lock_guard const lock(mutex_);
    process_start_ = process_start;
  }
  begin(Phase::kStart, process_start);
  end(Phase::kStart, process_start, at);
  enabled_.store(true, std::memory_order_relaxed);
}

void Timings::begin(Phase phase, Time at) {
  std::lock_guard const lock(mutex_);
  totals_[static_cast<std::size_t>(phase)].wall.begin(at);
  any_.begin(at);
}

void Timings::end(Phase phase, Time began, Time at) {
  std::lock_guard const lock(mutex_);
  Total& total = totals_[static_cast<std::size_t>(phase)];
  ++total.count;
  total.total += at - began;
  total.wall.end(at);
  any_.end(at);
}

void Timings::carry(const ResourceUse& used) {
  std::lock_guard const lock(mutex_);
  carried_ = carried_ + used;
}

Timings::Report Timings::report(Time at) const {
  std::lock_guard const lock(mutex_);
  Report report;
  for (std::size_t i = 0; i < kPhases; ++i) {
    const Total& total = totals_[i];
    if (total.count == 0 && total.wall.active == 0) continue;
    report.rows.push_back({.phase = static_cast<Phase>(i),
                           .count = total.count,
                           .total = total.total,
                           .wall = total.wall.covered_at(at)});
  }
  report.covered = any_.covered_at(at);
  report.whole = at - process_start_;
  report.used = carried_;
  return report;
}

Timings& process_timings() noexcept {
  return the_timings;
}

Timings::Time estimate_process_start(Timings::Time at) noexcept {
  timespec cpu = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
  return at - (std::chrono::seconds(cpu.tv_sec) + std::chrono::nanoseconds(cpu.tv_nsec));
}

}  // namespace cobuild
