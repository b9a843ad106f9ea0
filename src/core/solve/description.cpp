#include "core/solve/description.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/base/utf8.hpp"

namespace cobuild::solve {
namespace {

namespace json = boost::json;
using Texts = std::map<std::string, std::string>;

/// A long text is cut, and told apart from others by what is at its end then. Doing it again changes
/// nothing.
std::string described(const std::string& text) {
  std::string valid = to_valid_utf8(text);
  if (valid.size() <= kDescribedTextMax) return valid;
  std::string const digest = Digest::of(std::string_view(text)).hex().substr(0, 16);
  std::string const rest = "... (sha256:" + digest + ")";
  std::size_t end = kDescribedTextMax - rest.size();
  while (end > 0 && (static_cast<unsigned char>(valid[end]) & 0xC0) == 0x80) --end;
  return valid.substr(0, end) + rest;
}

json::object to_object(const Texts& texts) {
  json::object object;
  for (const auto& [name, text] : texts) object[described(name)] = described(text);
  return object;
}

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

Texts texts_of(const json::object& object, std::string_view name) {
  Texts texts;
  const json::value* const value = object.if_contains(name);
  if (value == nullptr || !value->is_object()) return texts;
  for (const auto& [key, text] : value->get_object()) {
    if (text.is_string()) texts.emplace(std::string(key), std::string(text.get_string()));
  }
  return texts;
}

json::object to_object(const ContentNote& note) {
  json::object object{{"digest", note.digest.to_string()}};
  if (note.list) object["list"] = note.list->value;
  return object;
}

void read_content(const json::object& contents, StepDescription& step) {
  for (const auto& [key, value] : contents) {
    std::size_t input = 0;
    auto const [end, error] = std::from_chars(key.data(), key.data() + key.size(), input);
    if (error != std::errc() || end != key.data() + key.size() || !value.is_object()) continue;
    auto const digest = Digest::try_parse(text_of(value.get_object(), "digest"));
    if (!digest) continue;
    ContentNote note{*digest, std::nullopt};
    const json::value* const list = value.get_object().if_contains("list");
    if (list != nullptr && list->is_int64()) note.list = store::LayerId{list->get_int64()};
    step.contents.emplace(input, note);
  }
}

/// Of named texts, those that are not in both, or not the same.
void compare_texts(const Texts& before, const Texts& now, DifferenceKind kind,
                   std::vector<Difference>& out) {
  bool const tell_values = kind != DifferenceKind::kVariable;
  auto const add = [&](Change change, const std::string& name, const std::string& old,
                       const std::string& own) {
    Difference difference;
    difference.kind = kind;
    difference.change = change;
    difference.name = name;
    if (tell_values) {
      difference.before = old;
      difference.now = own;
    }
    out.push_back(std::move(difference));
  };
  for (const auto& [name, text] : now) {
    auto const old = before.find(name);
    if (old == before.end()) {
      add(Change::kAdded, name, "", text);
    } else if (old->second != text) {
      add(Change::kChanged, name, old->second, text);
    }
  }
  for (const auto& [name, text] : before) {
    if (!now.contains(name)) add(Change::kRemoved, name, text, "");
  }
}

std::vector<std::string> described(const std::vector<std::string>& texts) {
  std::vector<std::string> out;
  for (const std::string& text : texts) out.push_back(described(text));
  return out;
}

Texts described(const Texts& texts) {
  Texts out;
  for (const auto& [name, text] : texts) out.emplace(described(name), described(text));
  return out;
}

std::string joined(const std::vector<std::string>& words, std::size_t begin, std::size_t end) {
  std::string out;
  for (std::size_t i = begin; i < end; ++i) out += (i > begin ? " " : "") + words[i];
  return out;
}

/// The words between what both begin and end with.
void compare_arguments(const std::vector<std::string>& before, const std::vector<std::string>& now,
                       std::vector<Difference>& out) {
  if (before == now) return;
  std::size_t const shorter = std::min(before.size(), now.size());
  std::size_t begin = 0;
  while (begin < shorter && before[begin] == now[begin]) ++begin;
  std::size_t end = 0;
  while (end < shorter - begin && before[before.size() - 1 - end] == now[now.size() - 1 - end]) ++end;
  Difference difference;
  difference.kind = DifferenceKind::kArguments;
  difference.before = joined(before, begin, before.size() - end);
  difference.now = joined(now, begin, now.size() - end);
  out.push_back(std::move(difference));
}

}  // namespace

std::string to_json(const StepDescription& step) {
  json::object op{{"kind", step.op.kind}};
  if (!step.op.arguments.empty()) {
    json::array& arguments = op["arguments"].emplace_array();
    for (const std::string& argument : step.op.arguments) {
      arguments.emplace_back(described(argument));
    }
  }
  if (!step.op.variables.empty()) op["variables"] = to_object(step.op.variables);
  if (!step.op.mounts.empty()) op["mounts"] = to_object(step.op.mounts);
  if (!step.op.settings.empty()) op["settings"] = to_object(step.op.settings);
  json::object object{{"step", described(step.name)}, {"op", std::move(op)}};
  if (!step.origin.empty()) object["origin"] = step.origin;
  if (!step.cache.empty()) object["cache"] = described(step.cache);
  if (!step.contents.empty()) {
    json::object& contents = object["contents"].emplace_object();
    for (const auto& [input, note] : step.contents) {
      contents[std::to_string(input)] = to_object(note);
    }
  }
  return json::serialize(object);
}

std::optional<StepDescription> parse_step_description(std::string_view text) {
  boost::system::error_code error;
  json::value const value = json::parse(text, error);
  if (error || !value.is_object()) return std::nullopt;
  const json::object& object = value.get_object();
  const json::value* const op = object.if_contains("op");
  if (op == nullptr || !op->is_object()) return std::nullopt;
  StepDescription step;
  step.name = text_of(object, "step");
  step.origin = text_of(object, "origin");
  step.cache = text_of(object, "cache");
  const json::object& what = op->get_object();
  step.op.kind = text_of(what, "kind");
  const json::value* const arguments = what.if_contains("arguments");
  if (arguments != nullptr && arguments->is_array()) {
    for (const json::value& argument : arguments->get_array()) {
      if (argument.is_string()) step.op.arguments.emplace_back(argument.get_string());
    }
  }
  step.op.variables = texts_of(what, "variables");
  step.op.mounts = texts_of(what, "mounts");
  step.op.settings = texts_of(what, "settings");
  const json::value* const contents = object.if_contains("contents");
  if (contents != nullptr && contents->is_object()) read_content(contents->get_object(), step);
  return step;
}

std::vector<Difference> compare(const OpDescription& before, const OpDescription& now) {
  // Either may have been written down, and cut for that.
  std::vector<Difference> out;
  compare_arguments(described(before.arguments), described(now.arguments), out);
  compare_texts(described(before.variables), described(now.variables), DifferenceKind::kVariable, out);
  compare_texts(described(before.mounts), described(now.mounts), DifferenceKind::kMount, out);
  compare_texts(described(before.settings), described(now.settings), DifferenceKind::kSetting, out);
  return out;
}

StepName split_step_name(std::string_view name) {
  StepName parts;
  std::string_view text = name;
  std::size_t const close = name.find("] ");
  if (name.starts_with('[') && close != std::string_view::npos) {
    text = name.substr(close + 2);
    std::string_view const place = name.substr(1, close - 1);
    std::size_t const slash = place.rfind('/');
    std::size_t const space = place.rfind(' ', slash);
    std::size_t const begin = space == std::string_view::npos ? 0 : space + 1;
    std::string_view const number =
        slash == std::string_view::npos ? std::string_view() : place.substr(begin, slash - begin);
    bool const is_number = !number.empty() && number.find_first_not_of("0123456789") == number.npos;
    if (is_number) {
      parts.number = number;
      std::size_t const last = place.substr(0, begin).find_last_not_of(' ');
      std::string_view const stage = last == std::string_view::npos ? "" : place.substr(0, last + 1);
      parts.place = "[" + std::string(stage) + " " + parts.number;
    }
  }
  parts.text = text;
  parts.keyword = text.substr(0, text.find(' '));
  return parts;
}

}  // namespace cobuild::solve
