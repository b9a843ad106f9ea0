#include "cli/progress_plain.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/base/units.hpp"

namespace cobuild::cli {
namespace {

using namespace std::chrono_literals;

constexpr double kSwitchSeconds = 5;       // A step keeps the display at least this long,
constexpr auto kHiddenMax = 10s;           // and no active step waits longer than this.
constexpr auto kStatusEvery = 5s;          // Statuses are repeated after this time,
constexpr double kStatusStep = 0.05;       // or this much progress.
constexpr std::size_t kLastLinesMax = 10;  // F7.2.12
constexpr std::size_t kNameMax = 72;       // F7.2.8

void erase_from(std::vector<Step*>& steps, const Step* step) {
  steps.erase(std::remove(steps.begin(), steps.end(), step), steps.end());
}

/// " 1.00MB / 2.00MB 1.2s done"
std::string describe(const progress::Status& status) {
  std::string text;
  if (status.total != 0) {
    text = " " + format_bytes(status.current) + " / " + format_bytes(status.total);
  } else if (status.current != 0) {
    text = " " + format_bytes(status.current);
  }
  Timestamp const end = status.completed.value_or(status.timestamp);
  double const seconds =
      status.started ? std::chrono::duration<double>(end - *status.started).count() : 0;
  if (seconds > 0.01) text += " " + format_fixed(seconds, 1) + "s";
  if (status.completed) text += " done";
  return text;
}

}  // namespace

std::vector<std::string> PlainPrinter::last_lines(const Step& step) const {
  auto const shown = shown_.find(&step);
  if (shown == shown_.end()) return {};
  std::vector<std::string> lines(shown->second.last_lines.begin(), shown->second.last_lines.end());
  if (step.log.is_partial()) lines.push_back(step.log.lines().back());
  if (lines.size() > kLastLinesMax) lines.erase(lines.begin());
  return lines;
}

void PlainPrinter::switch_to(Step* step) {
  if (current_ != nullptr) {
    Shown& old = shown_[current_];
    if (old.line_bytes > 0) out_ += "\n";
    old.line_bytes = 0;  // The unfinished line is printed again, whole, on return.
    current_->activity = 0;
    out_ += "#" + std::to_string(old.index) + " ...\n";
  }
  Shown& shown = shown_[step];
  bool const is_first = indexes_ == 0;
  if (shown.index == 0) shown.index = ++indexes_;
  if (!is_first) out_ += "\n";
  std::string name = step->name;
  if (options_.truncate_names && name.size() > kNameMax) name = name.substr(0, kNameMax) + "...";
  out_ += "#" + std::to_string(shown.index) + " " + name + "\n";
  current_ = step;
}

void PlainPrinter::print_step(ProgressState& state, Step* step, Timestamp now) {
  if (step != current_) switch_to(step);
  Shown& shown = shown_[step];
  bool const has_open_status = print_statuses(*step, shown);
  for (; shown.warnings < step->warnings.size(); ++shown.warnings) {
    out_ += "#" + std::to_string(shown.index) + " WARN: " + step->warnings[shown.warnings].summary +
            "\n";
  }
  print_log(*step, shown);
  if (step->is_completed() && !has_open_status) {
    if (shown.line_bytes > 0) out_ += "\n";
    shown.line_bytes = 0;
    print_end(*step, shown, now);
    step->activity = 0;
    current_ = nullptr;
  }
  erase_from(state.changed(), step);
}

/// Whether a status that is not done was printed: then the step is not over for the reader.
bool PlainPrinter::print_statuses(Step& step, Shown& shown) {
  bool has_open = false;
  for (const progress::Status& status : step.statuses) {
    if (!step.changed_statuses.contains(status.id)) continue;
    auto const last = shown.statuses.find(status.id);
    if (last != shown.statuses.end() && !status.completed) {
      double const progress = status.total > 0
                                  ? static_cast<double>(status.current - last->second.current) /
                                        static_cast<double>(status.total)
                                  : 0;
      if (progress < kStatusStep && status.timestamp - last->second.at < kStatusEvery) continue;
    }
    shown.statuses[status.id] = Shown::LastStatus{status.current, status.timestamp};
    if (!status.completed) has_open = true;
    if (shown.line_bytes > 0) {
      out_ += "\n";
      shown.line_bytes = 0;
    }
    out_ += "#" + std::to_string(shown.index) + " " + status.id + describe(status) + "\n";
  }
  step.changed_statuses.clear();
  return has_open;
}

void PlainPrinter::print_log(Step& step, Shown& shown) {
  const auto& lines = step.log.lines();
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (shown.line_bytes > 0) {
      out_ += lines[i].substr(shown.line_bytes);
    } else {
      out_ += "#" + std::to_string(shown.index) + " " + lines[i];
    }
    if (i + 1 == lines.size() && step.log.is_partial()) {
      shown.line_bytes = lines[i].size();
      break;
    }
    shown.line_bytes = 0;
    out_ += "\n";
    shown.last_lines.push_back(lines[i]);
    if (shown.last_lines.size() > kLastLinesMax) shown.last_lines.pop_front();
  }
  step.log.drop_complete();
}

void PlainPrinter::print_end(const Step& step, const Shown& shown, Timestamp now) {
  out_ += "#" + std::to_string(shown.index) + " ";
  if (step.is_cancelled()) {
    out_ += "CANCELED\n";
  } else if (!step.error.empty()) {
    out_ += "ERROR: " + step.error + "\n";
  } else if (step.cached) {
    out_ += "CACHED\n";
  } else {
    out_ += "DONE " + format_fixed(total_seconds(step.runs, now), 1) + "s\n";
  }
}

/// The step to show next among those that are active; null: keep showing `stay`.
Step* PlainPrinter::choose_active(const std::vector<Step*>& active, const Step* stay,
                                  Timestamp now) {
  auto const waited = [&](const Step* step) {
    return step->waiting_since ? now - *step->waiting_since : Timestamp::duration::zero();
  };
  auto const speed = [&](const Step* step) {
    double const seconds = std::chrono::duration<double>(waited(step)).count();
    return static_cast<double>(step->activity) / std::max(seconds, 1e-9);
  };
  Step* busiest = nullptr;
  double sum = 0;
  for (Step* step : active) {
    if (stay != nullptr && step != stay && waited(step) > kHiddenMax) return step;
    sum += speed(step);
    if (busiest == nullptr || speed(step) > speed(busiest)) busiest = step;
  }
  if (stay == nullptr) return busiest;
  double const share = sum > 0 ? speed(stay) / sum : 1;
  if (share >= 1) return nullptr;
  double const turn = kSwitchSeconds / (1 - share);
  return turn < std::chrono::duration<double>(waited(stay)).count() ? busiest : nullptr;
}

/// Prints the steps that have ended, and moves those that go on to `active`.
void PlainPrinter::print_completed(ProgressState& state, std::vector<Step*>& active,
                                   Timestamp now) {
  std::vector<Step*> completed;
  for (Step* step : state.changed()) {
    if (step->hidden || (!step->is_started() && step->name.empty())) continue;
    if (!step->is_completed()) {
      active.push_back(step);
      continue;
    }
    auto const place = std::upper_bound(
        completed.begin(), completed.end(), step,
        [](const Step* a, const Step* b) { return *a->runs.back().stop < *b->runs.back().stop; });
    completed.insert(place, step);
  }
  // The one on display first: its header is already there.
  if (auto const shown = std::find(completed.begin(), completed.end(), current_);
      shown != completed.end()) {
    std::rotate(completed.begin(), shown, shown + 1);
  }
  for (Step* step : completed) print_step(state, step, now);
}

std::string PlainPrinter::print(ProgressState& state, Timestamp now) {
  out_.clear();
  std::vector<Step*> active;
  Step* const before = current_;
  print_completed(state, active, now);
  if (active.empty()) {
    if (current_ != nullptr) return out_;
    for (Step* step : state.started()) {  // Show somebody who is at work.
      if (step->is_completed() || step->hidden) continue;
      print_step(state, step, now);
      break;
    }
    return out_;
  }
  Step* const stay = before != nullptr && !before->is_completed() ? before : nullptr;
  if (stay != nullptr && std::find(active.begin(), active.end(), stay) != active.end()) {
    print_step(state, stay, now);
  } else if (stay != nullptr) {
    active.push_back(stay);
  }
  Step* const next = choose_active(active, stay, now);
  if (next != nullptr && next != current_) print_step(state, next, now);
  return out_;
}

}  // namespace cobuild::cli
