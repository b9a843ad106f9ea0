#include "cli/progress_state.hpp"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace cobuild::cli {
namespace {

double seconds_between(Timestamp from, Timestamp to) {
  return std::chrono::duration<double>(to - from).count();
}

/// "0.123 ": three decimals below ten seconds, two below a hundred, else one.
std::string stamp(double seconds) {
  int const decimals = seconds < 10 ? 3 : seconds < 100 ? 2 : 1;
  return format_fixed(seconds, decimals) + " ";
}

}  // namespace

std::string format_fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", decimals, value);
  return text;
}

std::vector<Run> merge_runs(const std::map<Timestamp, std::optional<Timestamp>>& runs) {
  std::vector<Run> merged;
  for (const auto& [start, stop] : runs) {
    if (merged.empty()) {
      merged.push_back(Run{start, stop});
      continue;
    }
    Run& last = merged.back();
    if (!last.stop) break;
    if (*last.stop < start) {
      merged.push_back(Run{start, stop});
    } else if (!stop || *stop > *last.stop) {
      last.stop = stop;
    }
  }
  return merged;
}

double total_seconds(const std::vector<Run>& runs, Timestamp now) {
  double total = 0;
  for (const Run& run : runs) total += seconds_between(run.start, run.stop.value_or(now));
  return total;
}

void LogLines::append(std::string_view data, double seconds) {
  while (!data.empty()) {
    std::size_t const newline = data.find('\n');
    std::string_view piece = data.substr(0, newline);
    if (!partial_) {
      lines_.push_back(stamp(seconds));
      bytes_ += lines_.back().size();
    }
    std::string& line = lines_.back();
    std::size_t const room = kLineBytesMax - std::min(kLineBytesMax, line.size());
    if (piece.size() > room) {  // Break it: one endless line must not fill the memory.
      line += piece.substr(0, room);
      bytes_ += room;
      partial_ = false;
      data.remove_prefix(room);
      continue;
    }
    line += piece;
    bytes_ += piece.size();
    partial_ = newline == std::string_view::npos;
    data.remove_prefix(partial_ ? data.size() : newline + 1);
  }
}

void LogLines::keep_last(std::size_t bytes) {
  while (bytes_ > bytes && lines_.size() > 1) {
    bytes_ -= lines_.front().size();
    lines_.pop_front();
    clipped_ = true;
  }
}

void LogLines::drop_complete() {
  while (lines_.size() > (partial_ ? 1U : 0U)) {
    bytes_ -= lines_.front().size();
    lines_.pop_front();
  }
}

Step* ProgressState::add_step() {
  steps_.push_back(std::make_unique<Step>());
  return steps_.back().get();
}

void ProgressState::mark_changed(Step* step) {
  if (std::find(changed_.begin(), changed_.end(), step) == changed_.end()) changed_.push_back(step);
}

void ProgressState::add_activity(Step* step) {
  if (step->activity == 0) step->waiting_since = clock_();
  ++step->activity;
}

void ProgressState::on_vertex(const progress::Vertex& vertex) {
  if (!started_at_ && vertex.started) started_at_ = vertex.started;
  if (vertex.group) {
    update_group(vertex);
    return;
  }
  Member& member =
      members_.try_emplace(vertex.digest, Member{vertex, nullptr, {}, false}).first->second;
  if (member.step == nullptr) member.step = add_step();
  update_single(member, vertex);
}

void ProgressState::update_single(Member& member, const progress::Vertex& vertex) {
  Step* const step = member.step;
  bool const was_started = step->is_started();
  const progress::Vertex& old = member.vertex;
  bool const changed = !member.seen || vertex.name != old.name || vertex.started != old.started ||
                       (vertex.completed && vertex.completed != old.completed) ||
                       vertex.cached != old.cached || vertex.error != old.error;
  // An announcement that comes late must not undo what is known.
  if (!was_started || vertex.started) {
    step->name = vertex.name;
    step->cached = vertex.cached;
    step->error = vertex.error;
  }
  if (!vertex.started) return;
  member.runs[*vertex.started] = vertex.completed;
  step->runs = merge_runs(member.runs);
  if (!was_started) started_.push_back(step);
  if (changed) {
    add_activity(step);
    mark_changed(step);
  }
  member.vertex = vertex;
  member.seen = true;
}

void ProgressState::update_group(const progress::Vertex& vertex) {
  GroupState& group = groups_[vertex.group->id];
  if (group.step == nullptr) {
    group.step = add_step();
    group.step->name = vertex.group->name;
    group.step->hidden = true;
  }
  auto const [place, added] =
      members_.try_emplace(vertex.digest, Member{vertex, group.step, {}, true});
  place->second.vertex = vertex;
  if (added) group.members.push_back(vertex.digest);
  bool const was_hidden = group.step->hidden;
  bool const changed = fold_members(group);
  if (group.step->hidden) return;
  if (was_hidden) started_.push_back(group.step);
  if (changed || was_hidden) {
    add_activity(group.step);
    mark_changed(group.step);
  }
}

/// Recomputes the group's step from its members; whether that changed anything.
bool ProgressState::fold_members(GroupState& group) {
  Step* const step = group.step;
  bool cached = true;
  std::string error;
  auto runs = group.runs;
  for (const Digest& digest : group.members) {
    const progress::Vertex& vertex = members_.at(digest).vertex;
    if (vertex.started) {
      runs[*vertex.started] = vertex.completed;
      if (vertex.group && !vertex.group->weak) step->hidden = false;
    }
    cached = cached && vertex.cached;
    if (error.empty()) error = vertex.error;
  }
  if (!error.empty()) step->hidden = false;
  bool const changed = runs != group.runs || cached != step->cached || error != step->error;
  group.runs = std::move(runs);
  step->runs = merge_runs(group.runs);
  step->cached = cached;
  step->error = std::move(error);
  return changed;
}

void ProgressState::on_status(const progress::Status& status) {
  Step* const step = find(status.vertex);
  if (step == nullptr || !status.started) return;
  auto const known = std::find_if(step->statuses.begin(), step->statuses.end(),
                                  [&](const progress::Status& old) { return old.id == status.id; });
  if (known == step->statuses.end()) {
    step->statuses.push_back(status);
  } else {
    *known = status;
  }
  step->changed_statuses.insert(status.id);
  add_activity(step);
  mark_changed(step);
}

void ProgressState::on_log(const progress::Log& log) {
  Step* const step = find(log.vertex);
  if (step == nullptr || log.data.empty()) return;
  double const seconds =
      step->is_started() ? seconds_between(step->runs.back().start, log.timestamp) : 0;
  step->log.append(log.data, seconds);
  add_activity(step);
  mark_changed(step);
}

void ProgressState::on_warning(const progress::Warning& warning) {
  Step* const step = find(warning.vertex);
  if (step == nullptr) return;
  step->warnings.push_back(warning);
  add_activity(step);
  mark_changed(step);
}

Step* ProgressState::find(const Digest& vertex) const {
  auto const member = members_.find(vertex);
  return member == members_.end() ? nullptr : member->second.step;
}

ProgressState::Counts ProgressState::counts() const {
  Counts counts;
  for (const auto& step : steps_) {
    if (step->hidden) continue;
    ++counts.total;
    if (step->is_completed()) ++counts.completed;
  }
  return counts;
}

std::string render_error_logs(
    const ProgressState& state,
    const std::function<std::vector<std::string>(const Step& step)>& lines_of) {
  std::string out;
  for (const Step* step : state.started()) {
    if (!step->is_failed()) continue;
    out += "------\n > " + step->name + ":\n";
    for (const std::string& line : lines_of(*step)) out += line + "\n";
    out += "------\n";
  }
  return out;
}

}  // namespace cobuild::cli
