#include "cli/timings_report.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <tuple>
#include <utility>

#include "cli/text_table.hpp"
#include "core/base/units.hpp"
#include "core/base/utf8.hpp"

namespace cobuild::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kPhaseWidth = 10;
constexpr std::size_t kCountWidth = 7;
constexpr std::size_t kTimeWidth = 12;
constexpr std::size_t kNameMax = 72;

/// "12.34"
std::string milliseconds(std::chrono::nanoseconds time) {
  return format_fixed(std::chrono::duration<double, std::milli>(time).count(), 2);
}

std::string right(const std::string& text, std::size_t width) {
  return std::string(width - std::min(width, text.size()), ' ') + text;
}

std::string row(std::string name, const std::string& count, const std::string& total,
                const std::string& wall) {
  name.resize(std::max(name.size(), kPhaseWidth), ' ');
  return name + right(count, kCountWidth) + right(total, kTimeWidth) + right(wall, kTimeWidth) +
         "\n";
}

}  // namespace

std::vector<StepTime> slowest_steps(const ProgressState& state) {
  std::vector<StepTime> steps;
  for (const Step* step : state.started()) {
    if (step->cached) continue;  // finding that out took a moment, but is not the step's time
    StepTime entry{.name = step->name, .time = {}};
    for (const Run& run : step->runs) {
      if (run.stop) entry.time += *run.stop - run.start;
    }
    if (entry.time.count() > 0) steps.push_back(std::move(entry));
  }
  std::sort(steps.begin(), steps.end(), [](const StepTime& a, const StepTime& b) {
    return std::tie(b.time, a.name) < std::tie(a.time, b.name);
  });
  if (steps.size() > kSlowestStepsMax) steps.resize(kSlowestStepsMax);
  return steps;
}

std::string render_timings(const Timings::Report& report, const std::vector<StepTime>& steps) {
  std::string out = row("phase", "count", "total ms", "wall ms");
  for (const Timings::Row& phase : report.rows) {
    out += row(std::string(to_string(phase.phase)), std::to_string(phase.count),
               milliseconds(phase.total), milliseconds(phase.wall));
  }
  out += row("other", "", "", milliseconds(report.whole - report.covered));
  out += "whole: " + milliseconds(report.whole) + " ms, CPU " +
         milliseconds(report.used.user + report.used.system) + " ms (user " +
         milliseconds(report.used.user) + ", system " + milliseconds(report.used.system) +
         "), peak RSS " + format_bytes(report.used.peak_bytes) + "\n";
  if (!steps.empty()) out += "slowest steps, ms:\n";
  for (const StepTime& step : steps) {
    out += right(milliseconds(step.time), kTimeWidth) + "  " + printable(step.name, kNameMax) + "\n";
  }
  return out;
}

std::string to_json_line(const Timings::Report& report, const std::vector<StepTime>& steps) {
  auto const nanoseconds = [](auto time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
  };
  json::array phases;
  for (const Timings::Row& phase : report.rows) {
    phases.push_back(json::object{{"name", to_string(phase.phase)},
                                  {"count", phase.count},
                                  {"total", nanoseconds(phase.total)},
                                  {"wall", nanoseconds(phase.wall)}});
  }
  json::array slowest;
  for (const StepTime& step : steps) {
    slowest.push_back(
        json::object{{"name", to_valid_utf8(step.name)}, {"time", nanoseconds(step.time)}});
  }
  json::object timings{{"phases", std::move(phases)},
                       {"other", nanoseconds(report.whole - report.covered)},
                       {"whole", nanoseconds(report.whole)},
                       {"user", nanoseconds(report.used.user)},
                       {"system", nanoseconds(report.used.system)},
                       {"peakBytes", report.used.peak_bytes},
                       {"slowestSteps", std::move(slowest)}};
  return json::serialize(json::object{{"timings", std::move(timings)}});
}

}  // namespace cobuild::cli
