#include "core/solve/explainer.hpp"

#include <algorithm>
#include <deque>
#include <set>

#include "core/solve/kept_name.hpp"
#include "core/solve/solver_impl.hpp"

namespace cobuild::solve {
namespace {

/// Of the records that are looked at: older ones are not the nearest, or not of interest.
constexpr std::size_t kRecordsMax = 1000;
/// Of those that are compared with one step.
constexpr std::size_t kComparedMax = 20;

std::string name_of(const EdgeState* input) {
  return input == nullptr ? "scratch" : kept_name(input->vertex->vertex->name);
}

/// How much a record's place and text promise.
enum class Likeness { kNone, kKeyword, kText, kSamePlace };

Likeness likeness(const StepDescription& record, const StepName& record_name,
                  const StepDescription& now, const StepName& name) {
  bool const same_text = record_name.text == name.text;
  bool const same_place = !name.place.empty() && record_name.place == name.place &&
                          record_name.keyword == name.keyword;
  if (record.origin == now.origin && (same_text || same_place)) return Likeness::kSamePlace;
  if (same_text) return Likeness::kText;
  return record_name.keyword == name.keyword ? Likeness::kKeyword : Likeness::kNone;
}

bool is_of_input(const Difference& difference) {
  return difference.kind == DifferenceKind::kInput || difference.kind == DifferenceKind::kFiles ||
         difference.kind == DifferenceKind::kForcedInput;
}

}  // namespace

Explainer::Explainer(store::Store& store, KeyGraph& keys)
    : store_(store), keys_(keys), started_(now()) {}

Task<void> Explainer::load() {
  if (loaded_) co_return;
  auto results = co_await keys_.index().newest_results(started_, kRecordsMax);
  if (loaded_) co_return;  // somebody was faster
  loaded_ = true;
  for (const auto& [key, result] : results) {
    auto step = parse_step_description(result.ingredients);
    if (!step || step->op.kind.empty()) continue;
    by_key_.emplace(key.value, records_.size());
    records_.push_back({key, result.created_at, std::move(*step)});
  }
}

Explanation Explainer::explain(const EdgeState& edge) {
  Explanation out;
  if (edge.vertex->ignores_cache()) {
    out.reason = Reason::kNoCache;
    return out;
  }
  out.import = find_import(edge);
  const Record* const record = find_nearest(edge);
  if (record == nullptr) return out;
  out.record = NearestRecord{record->step.name, record->created_at, record->step.cache};
  Comparison comparison = compare_with(edge, *record);
  out.differences = comparison.differences;
  out.reason = out.differences.empty() ? Reason::kLost : Reason::kDiffers;
  find_causes(std::move(comparison), out);
  return out;
}

std::vector<const Explainer::Record*> Explainer::find_likely(const EdgeState& edge) const {
  const StepDescription& now = *edge.vertex->description;
  StepName const name = split_step_name(now.name);
  std::vector<const Record*> likely;
  Likeness best = Likeness::kNone;
  for (const Record& record : records_) {
    if (record.step.op.kind != now.op.kind) continue;
    Likeness const like = likeness(record.step, split_step_name(record.step.name), now, name);
    if (like == Likeness::kNone || like < best) continue;
    if (like > best) likely.clear();
    best = like;
    if (likely.size() < kComparedMax) likely.push_back(&record);
  }
  return likely;
}

const Explainer::Record* Explainer::find_nearest(const EdgeState& edge) {
  const StepDescription& now = *edge.vertex->description;
  StepName const name = split_step_name(now.name);
  const Record* nearest = nullptr;
  std::size_t fewest = 0;
  for (const Record* const record : find_likely(edge)) {
    std::vector<Difference> const differences = compare_with(edge, *record).differences;
    if (likeness(record->step, split_step_name(record->step.name), now, name) <= Likeness::kKeyword) {
      // Of somebody else's, perhaps: only with the same op, or after the same steps.
      auto const of_inputs = std::count_if(differences.begin(), differences.end(), is_of_input);
      bool const shares = of_inputs == 0 || of_inputs == std::ssize(differences);
      if (!shares || edge.vertex->inputs.empty()) continue;
    }
    if (nearest != nullptr && differences.size() >= fewest) continue;
    nearest = record;
    fewest = differences.size();
  }
  return nearest;
}

Explainer::Comparison Explainer::compare_with(const EdgeState& edge, const Record& record) {
  const VertexState& vertex = *edge.vertex;
  Comparison out;
  out.differences = compare(record.step.op, vertex.description->op);
  if (vertex.inputs.empty() || !edge.match) return out;
  Sources const sources = keys_.index().sources(record.key);
  Digest const name = root_key(vertex.maps[0].op, edge.output);
  bool const same_op = std::any_of(sources.begin(), sources.end(),
                                   [&](const auto& source) { return source.op == name; });
  if (!same_op && out.differences.empty()) {
    Difference other;
    other.kind = DifferenceKind::kOther;
    out.differences.push_back(other);
  }
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) compare_input(edge, i, record, sources, out);
  return out;
}

void Explainer::compare_input(const EdgeState& edge, std::size_t input, const Record& record,
                              const Sources& sources, Comparison& out) {
  const EdgeState* const from = edge.vertex->inputs[input];
  if (edge.match->content(input)) {
    if (auto difference = compare_content(edge, input, record, sources)) {
      out.differences.push_back(std::move(*difference));
    }
    return;
  }
  Difference difference;
  difference.name = name_of(from);
  if (from != nullptr && from->vertex->ignores_cache()) {
    difference.kind = DifferenceKind::kForcedInput;
    out.differences.push_back(std::move(difference));
    return;
  }
  bool const was_there = std::any_of(sources.begin(), sources.end(), [&](const auto& source) {
    return source.input == static_cast<int>(input);
  });
  // An input that a mount brought is told with the mount.
  if (!was_there && !out.differences.empty()) return;
  if (has_common_key(edge, input, sources)) return;
  difference.kind = DifferenceKind::kInput;
  out.differences.push_back(std::move(difference));
  if (from == nullptr || !from->vertex->description) return;
  out.inputs.push_back({from, find_record(input, sources, from->vertex->description->op.kind)});
}

bool Explainer::has_common_key(const EdgeState& edge, std::size_t input, const Sources& sources) {
  KeySet keys;
  for (store::KeyId const key : edge.match->definition_keys(input)) {
    solve::add_key(keys, keys_.current(key));
  }
  if (const auto& content = edge.match->content(input)) {
    for (store::KeyId const key : keys_.find_roots(content_key(*content))) solve::add_key(keys, key);
  }
  return std::any_of(sources.begin(), sources.end(), [&](const auto& source) {
    return source.input == static_cast<int>(input) &&
           std::find(keys.begin(), keys.end(), source.from) != keys.end();
  });
}

std::optional<Difference> Explainer::compare_content(const EdgeState& edge, std::size_t input,
                                                     const Record& record, const Sources& sources) {
  auto const known = record.step.contents.find(input);
  bool const same = known != record.step.contents.end()
                        ? known->second.digest == *edge.match->content(input)
                        : has_common_key(edge, input, sources);
  if (same) return std::nullopt;
  Difference difference;
  difference.kind = DifferenceKind::kFiles;
  difference.name = name_of(edge.vertex->inputs[input]);
  if (known != record.step.contents.end()) tell_files(edge, input, known->second, difference);
  return difference;
}

void Explainer::tell_files(const EdgeState& edge, std::size_t input, const ContentNote& before,
                           Difference& difference) {
  if (!before.list) return;
  auto const old = read_list(*before.list, before.digest);
  if (!old) return;
  std::optional<FileList> own;
  const EdgeState* const from = edge.vertex->inputs[input];
  if (auto const listed = edge.vertex->files.find(input); listed != edge.vertex->files.end()) {
    own = listed->second;
  } else if (from != nullptr && from->known_result && !from->known_result->layers.empty()) {
    own = read_list(from->known_result->layers.back(), *edge.match->content(input));
  }
  if (!own) return;
  difference.files = compare(*old, *own);
  if (difference.files.size() <= kToldFilesMax) return;
  difference.more_files = difference.files.size() - kToldFilesMax;
  difference.files.resize(kToldFilesMax);
}

std::optional<FileList> Explainer::read_list(store::LayerId layer, const Digest& content) {
  auto const note = store_.get_layer_note(layer, file_list_note(content));
  return note ? decode_file_list(*note) : std::nullopt;
}

const Explainer::Record* Explainer::find_record(std::size_t input, const Sources& sources,
                                                const std::string& kind) const {
  const Record* newest = nullptr;
  for (const auto& source : sources) {
    if (source.input != static_cast<int>(input)) continue;
    auto const [begin, end] = by_key_.equal_range(source.from.value);
    for (auto at = begin; at != end; ++at) {
      const Record& record = records_[at->second];
      if (record.step.op.kind != kind) continue;
      if (newest == nullptr || record.created_at > newest->created_at) newest = &record;
    }
  }
  return newest;
}

/// Follows inputs that are others to the steps that differ themselves.
void Explainer::find_causes(Comparison comparison, Explanation& out) {
  std::deque<OtherInput> pending(comparison.inputs.begin(), comparison.inputs.end());
  std::set<const EdgeState*> seen;
  while (!pending.empty() && out.causes.size() < kCausesMax) {
    OtherInput const next = pending.front();
    pending.pop_front();
    if (next.before == nullptr || !seen.insert(next.now).second) continue;
    Comparison below = compare_with(*next.now, *next.before);
    std::erase_if(below.differences, [](const Difference& difference) {
      return difference.kind == DifferenceKind::kInput;
    });
    pending.insert(pending.end(), below.inputs.begin(), below.inputs.end());
    if (below.differences.empty()) continue;
    out.causes.push_back({name_of(next.now), std::move(below.differences)});
  }
}

std::optional<NearestImport> Explainer::find_import(const EdgeState& edge) {
  const VertexState& vertex = *edge.vertex;
  if (vertex.inputs.empty() || !edge.match) return std::nullopt;
  std::vector<KeySet> inputs;
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) {
    KeySet keys = edge.match->definition_keys(i);
    if (const auto& content = edge.match->content(i)) {
      for (store::KeyId const key : keys_.find_roots(content_key(*content))) solve::add_key(keys, key);
    }
    inputs.push_back(std::move(keys));
  }
  auto const like = keys_.nearest_import(root_key(vertex.maps[0].op, edge.output), inputs);
  if (!like) return std::nullopt;
  NearestImport import{like->cache, like->other_op, {}};
  for (std::size_t const i : like->other_inputs) {
    Difference difference;
    difference.kind = edge.match->content(i) ? DifferenceKind::kFiles : DifferenceKind::kInput;
    difference.name = name_of(vertex.inputs[i]);
    import.inputs.push_back(std::move(difference));
  }
  return import;
}

}  // namespace cobuild::solve
