#include "core/solve/explanation.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <array>
#include <utility>

#include "core/base/utf8.hpp"

namespace cobuild::solve {
namespace {

namespace json = boost::json;

template <class Enum>
struct EnumName {
  Enum value;
  std::string_view name;
};

constexpr std::array kReasons = {
    EnumName<Reason>{Reason::kNoCache, "no-cache"}, EnumName<Reason>{Reason::kNoRecord, "no-record"},
    EnumName<Reason>{Reason::kDiffers, "differs"}, EnumName<Reason>{Reason::kLost, "lost"}};
constexpr std::array kOutcomes = {EnumName<Outcome>{Outcome::kRan, "ran"},
                                  EnumName<Outcome>{Outcome::kFailed, "failed"},
                                  EnumName<Outcome>{Outcome::kCached, "cached"}};
constexpr std::array kChanges = {EnumName<Change>{Change::kChanged, "changed"},
                                 EnumName<Change>{Change::kAdded, "added"},
                                 EnumName<Change>{Change::kRemoved, "removed"}};
constexpr std::array kDifferenceKinds = {
    EnumName<DifferenceKind>{DifferenceKind::kArguments, "arguments"},
    EnumName<DifferenceKind>{DifferenceKind::kVariable, "variable"},
    EnumName<DifferenceKind>{DifferenceKind::kMount, "mount"},
    EnumName<DifferenceKind>{DifferenceKind::kSetting, "setting"},
    EnumName<DifferenceKind>{DifferenceKind::kFiles, "files"},
    EnumName<DifferenceKind>{DifferenceKind::kInput, "input"},
    EnumName<DifferenceKind>{DifferenceKind::kForcedInput, "forced-input"},
    EnumName<DifferenceKind>{DifferenceKind::kOther, "other"}};
constexpr std::array kFileChangeKinds = {
    EnumName<FileChangeKind>{FileChangeKind::kAdded, "added"},
    EnumName<FileChangeKind>{FileChangeKind::kRemoved, "removed"},
    EnumName<FileChangeKind>{FileChangeKind::kContent, "content"},
    EnumName<FileChangeKind>{FileChangeKind::kMode, "mode"},
    EnumName<FileChangeKind>{FileChangeKind::kModeAndMore, "mode-and-more"},
    EnumName<FileChangeKind>{FileChangeKind::kType, "type"},
    EnumName<FileChangeKind>{FileChangeKind::kAttributes, "attributes"},
    EnumName<FileChangeKind>{FileChangeKind::kBelow, "below"}};

template <class Enum, std::size_t count>
std::string_view name_of(const std::array<EnumName<Enum>, count>& names, Enum value) {
  for (const auto& entry : names) {
    if (entry.value == value) return entry.name;
  }
  return {};
}

template <class Enum, std::size_t count>
Enum value_of(const std::array<EnumName<Enum>, count>& names, std::string_view name, Enum fallback) {
  for (const auto& entry : names) {
    if (entry.name == name) return entry.value;
  }
  return fallback;
}

void put_text(json::object& object, std::string_view name, const std::string& text) {
  if (!text.empty()) object[name] = to_valid_utf8(text);
}

// ---- out

json::object to_object(const FileChange& change) {
  json::object object{{"change", name_of(kFileChangeKinds, change.kind)},
                      {"path", to_valid_utf8(change.path)}};
  if (change.mode != change.mode_before) {
    object["modeBefore"] = change.mode_before;
    object["mode"] = change.mode;
  }
  return object;
}

json::array to_array(const std::vector<Difference>& differences) {
  json::array array;
  for (const Difference& difference : differences) {
    json::object object{{"kind", name_of(kDifferenceKinds, difference.kind)},
                        {"change", name_of(kChanges, difference.change)}};
    put_text(object, "name", difference.name);
    put_text(object, "before", difference.before);
    put_text(object, "now", difference.now);
    if (difference.kind == DifferenceKind::kFiles) {
      json::array& files = object["files"].emplace_array();
      for (const FileChange& change : difference.files) files.emplace_back(to_object(change));
      object["moreFiles"] = difference.more_files;
    }
    array.emplace_back(std::move(object));
  }
  return array;
}

json::object to_object(const Explanation& explanation) {
  json::object object{{"reason", name_of(kReasons, explanation.reason)}};
  if (const auto& record = explanation.record) {
    json::object& nearest = object["record"].emplace_object();
    put_text(nearest, "step", record->name);
    nearest["created"] = format_rfc3339(record->created_at);
    put_text(nearest, "cache", record->cache);
  }
  object["differences"] = to_array(explanation.differences);
  if (!explanation.causes.empty()) {
    json::array& causes = object["causes"].emplace_array();
    for (const Cause& cause : explanation.causes) {
      causes.emplace_back(json::object{{"step", to_valid_utf8(cause.step)},
                                       {"differences", to_array(cause.differences)}});
    }
  }
  if (const auto& import = explanation.import) {
    object["import"] = json::object{{"cache", to_valid_utf8(import->cache)},
                                    {"otherOperation", import->other_op},
                                    {"inputs", to_array(import->inputs)}};
  }
  return object;
}

// ---- in

const json::object* object_of(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value == nullptr ? nullptr : value->if_object();
}

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int64_t integer_of(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value != nullptr && value->is_int64() ? value->get_int64() : 0;
}

bool flag_of(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value != nullptr && value->is_bool() && value->get_bool();
}

/// Calls `fn` for each object of an array.
template <class Fn>
void for_each_object(const json::object& object, std::string_view name, Fn fn) {
  const json::value* const value = object.if_contains(name);
  if (value == nullptr || !value->is_array()) return;
  for (const json::value& item : value->get_array()) {
    if (item.is_object()) fn(item.get_object());
  }
}

std::vector<Difference> read_differences(const json::object& object, std::string_view name) {
  std::vector<Difference> differences;
  for_each_object(object, name, [&](const json::object& item) {
    Difference difference;
    difference.kind = value_of(kDifferenceKinds, text_of(item, "kind"), DifferenceKind::kOther);
    difference.change = value_of(kChanges, text_of(item, "change"), Change::kChanged);
    difference.name = text_of(item, "name");
    difference.before = text_of(item, "before");
    difference.now = text_of(item, "now");
    difference.more_files = static_cast<std::size_t>(integer_of(item, "moreFiles"));
    for_each_object(item, "files", [&](const json::object& file) {
      difference.files.push_back(
          {value_of(kFileChangeKinds, text_of(file, "change"), FileChangeKind::kContent),
           text_of(file, "path"), static_cast<std::uint16_t>(integer_of(file, "modeBefore")),
           static_cast<std::uint16_t>(integer_of(file, "mode"))});
    });
    differences.push_back(std::move(difference));
  });
  return differences;
}

Timestamp time_of(const json::object& object, std::string_view name) {
  return try_parse_rfc3339(text_of(object, name)).value_or(Timestamp());
}

Explanation read_explanation(const json::object& object) {
  Explanation explanation;
  explanation.reason = value_of(kReasons, text_of(object, "reason"), Reason::kNoRecord);
  if (const json::object* const record = object_of(object, "record")) {
    explanation.record = NearestRecord{text_of(*record, "step"), time_of(*record, "created"),
                                       text_of(*record, "cache")};
  }
  explanation.differences = read_differences(object, "differences");
  for_each_object(object, "causes", [&](const json::object& cause) {
    explanation.causes.push_back({text_of(cause, "step"), read_differences(cause, "differences")});
  });
  if (const json::object* const import = object_of(object, "import")) {
    explanation.import = NearestImport{text_of(*import, "cache"), flag_of(*import, "otherOperation"),
                                       read_differences(*import, "inputs")};
  }
  return explanation;
}

}  // namespace

std::string to_json(const BuildReport& report) {
  json::array steps;
  for (const StepOutcome& step : report.steps) {
    json::object object{{"step", to_valid_utf8(step.name)},
                        {"outcome", name_of(kOutcomes, step.outcome)}};
    if (step.explanation) object["why"] = to_object(*step.explanation);
    steps.emplace_back(std::move(object));
  }
  return json::serialize(
      json::object{{"time", format_rfc3339(report.time)},
                   {"build", to_valid_utf8(report.what)},
                   {"succeeded", report.succeeded},
                   {"steps", std::move(steps)}});
}

std::optional<BuildReport> parse_build_report(std::string_view text) {
  boost::system::error_code error;
  json::value const value = json::parse(text, error);
  if (error || !value.is_object()) return std::nullopt;
  const json::object& object = value.get_object();
  if (!object.contains("steps")) return std::nullopt;
  BuildReport report;
  report.time = time_of(object, "time");
  report.what = text_of(object, "build");
  report.succeeded = flag_of(object, "succeeded");
  for_each_object(object, "steps", [&](const json::object& item) {
    StepOutcome step;
    step.name = text_of(item, "step");
    step.outcome = value_of(kOutcomes, text_of(item, "outcome"), Outcome::kCached);
    if (const json::object* const why = object_of(item, "why")) step.explanation = read_explanation(*why);
    report.steps.push_back(std::move(step));
  });
  return report;
}

}  // namespace cobuild::solve
