#include "cli/request_answers.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <google/protobuf/util/json_util.h>

#include <array>
#include <memory>
#include <utility>

#include "cli/llb_dump.hpp"
#include "cli/progress_json.hpp"
#include "cli/text_table.hpp"
#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/base/source_span.hpp"
#include "core/base/suggest.hpp"
#include "oci/spec/json_text.hpp"

namespace cobuild::cli {
namespace {

namespace json = boost::json;

constexpr std::string_view kPrefix = "frontend.";
constexpr std::string_view kVersion = "1.0.0";
constexpr std::string_view kConvertLlbVersion = "0.1.0";
constexpr std::array<std::pair<std::string_view, Request>, 5> kRequests = {{
    {"subrequests.describe", Request::kDescribe},
    {"outline", Request::kOutline},
    {"targets", Request::kTargets},
    {"lint", Request::kLint},
    {"convertllb", Request::kConvertLlb},
}};

/// Go leaves empty members out.
void put(json::object& object, std::string_view key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}

json::object location_of(const std::vector<dockerfile::LineRange>& ranges) {
  json::object location;
  if (ranges.empty()) return location;
  json::array list;
  for (const dockerfile::LineRange& range : ranges) {
    for (int line = range.first; line <= range.last; ++line) {
      list.push_back(json::object{{"start", {{"line", line}}}, {"end", {{"line", line}}}});
    }
  }
  location["ranges"] = std::move(list);
  return location;
}

void put_location(json::object& object, const dockerfile::LineRange& lines) {
  if (lines.first > 0) object["location"] = location_of({lines});
}

Answer make_answer(const json::value& result, std::string text, std::string_view version = kVersion) {
  return {{"result.json", oci::to_indented_text(result)},
          {"result.txt", std::move(text)},
          {"version", std::string(version)}};
}

json::array mounts_of(const std::vector<dockerfile::OutlineMount>& mounts) {
  json::array list;
  for (const dockerfile::OutlineMount& mount : mounts) {
    json::object entry{{"name", mount.name}};
    if (mount.required) entry["required"] = true;
    put_location(entry, mount.lines);
    list.push_back(std::move(entry));
  }
  return list;
}

std::string mount_table(const std::string& title, const std::vector<dockerfile::OutlineMount>& mounts) {
  if (mounts.empty()) return "";
  std::string table = title + "\tREQUIRED\n";
  for (const dockerfile::OutlineMount& mount : mounts) {
    table += mount.name + "\t" + (mount.required ? "true" : "") + "\n";
  }
  return align_blanks(table, 3) + "\n";
}

std::string outline_text(const dockerfile::Outline& outline) {
  std::string text;
  if (!outline.name.empty() || !outline.description.empty()) {
    std::string head = "TARGET:\t" + (outline.name.empty() ? "(default)" : outline.name) + "\n";
    if (!outline.description.empty()) head += "DESCRIPTION:\t" + outline.description + "\n";
    text += align_blanks(head, 1) + "\n";
  }
  if (!outline.args.empty()) {
    std::string table = "BUILD ARG\tVALUE\tDESCRIPTION\n";
    for (const dockerfile::OutlineArg& arg : outline.args) {
      table += arg.name + "\t" + arg.value + "\t" + arg.description + "\n";
    }
    text += align_blanks(table, 3) + "\n";
  }
  return text + mount_table("SECRET", outline.secrets) + mount_table("SSH", outline.ssh);
}

SourceSpan span_of(const std::vector<dockerfile::LineRange>& ranges, const RequestSource& source,
                   const std::shared_ptr<const std::string>& text) {
  SourceSpan span{.filename = source.filename, .text = text, .first_line = 0, .last_line = 0};
  for (const dockerfile::LineRange& range : ranges) {
    if (span.first_line == 0 || range.first < span.first_line) span.first_line = range.first;
    span.last_line = std::max(span.last_line, range.last);
  }
  return span;
}

/// The warnings with their excerpts, in the order of lines.
std::string lint_text(const dockerfile::LintReport& report, const RequestSource& source) {
  auto const text = std::make_shared<const std::string>(source.text);
  std::multimap<int, std::string> by_line;
  for (const dockerfile::Warning& warning : report.warnings) {
    std::string out = "\nWARNING: " + warning.rule;
    if (!warning.url.empty()) out += " - " + warning.url;
    out += "\n" + warning.message + "\n";
    SourceSpan const span = span_of(warning.ranges, source, text);
    if (span.first_line > 0) out += render_excerpt(span);
    by_line.emplace(span.first_line, std::move(out));
  }
  std::string all;
  for (const auto& entry : by_line) all += entry.second;
  return all;
}

json::object error_of(const Error& error) {
  std::vector<dockerfile::LineRange> ranges;
  for (const Error::Frame& frame : error.frames()) {
    if (frame.span) ranges.push_back({frame.span->first_line, frame.span->last_line});
  }
  return {{"message", error.what()}, {"location", location_of(ranges)}};
}

json::object request_entry(std::string_view name, std::string_view description, json::value opts) {
  json::array metadata;
  for (const char* key : {"result.json", "result.txt"}) {
    metadata.push_back(json::object{{"name", key}, {"description", ""}});
  }
  return {{"name", std::string(kPrefix).append(name)},
          {"version", kVersion},
          {"type", "rpc"},
          {"description", description},
          {"opts", std::move(opts)},
          {"inputs", nullptr},
          {"metadata", std::move(metadata)},
          {"refs", nullptr}};
}

/// A message as protojson writes it.
json::value proto_json(const google::protobuf::Message& message) {
  std::string text;
  auto const status = google::protobuf::util::MessageToJsonString(message, &text);
  if (!status.ok()) throw Error(ErrorKind::kInternal, "LLB as JSON: " + status.ToString());
  return json::parse(text);
}

}  // namespace

Request parse_request(const std::string& id) {
  std::vector<std::string> names;
  for (const auto& [name, request] : kRequests) {
    names.push_back(std::string(kPrefix).append(name));
    if (names.back() == id) return request;
  }
  throw Error(ErrorKind::kInvalidInput, "unsupported request " + id + did_you_mean(id, names));
}

Answer answer_describe() {
  constexpr std::string_view kOutline = "List all parameters current build target supports";
  constexpr std::string_view kTargets = "List all targets current build supports";
  constexpr std::string_view kDescribe = "List available subrequest types";
  json::array const target_option{
      json::object{{"name", "target"}, {"description", "Target build stage"}}};
  json::array const list{request_entry("outline", kOutline, target_option),
                         request_entry("targets", kTargets, json::array()),
                         request_entry("subrequests.describe", kDescribe, nullptr)};
  std::string table = "NAME\tVERSION\tDESCRIPTION\n";
  for (const auto& [name, description] :
       {std::pair("outline", kOutline), std::pair("targets", kTargets),
        std::pair("subrequests.describe", kDescribe)}) {
    table += std::string(name) + "\t" + std::string(kVersion) + "\t" + std::string(description) + "\n";
  }
  return make_answer(list, align_blanks(table, 1));
}

Answer answer_targets(const std::vector<dockerfile::TargetInfo>& targets, const RequestSource& source) {
  json::array list;
  std::string table = "TARGET\tDESCRIPTION\n";
  for (const dockerfile::TargetInfo& target : targets) {
    json::object entry;
    put(entry, "name", target.name);
    if (target.is_default) entry["default"] = true;
    put(entry, "description", target.description);
    put(entry, "base", target.base);
    put(entry, "platform", target.platform);
    put_location(entry, target.lines);
    list.push_back(std::move(entry));
    table += target.name;
    if (target.is_default) table += target.name.empty() ? "(default)" : " (default)";
    table += "\t" + target.description + "\n";
  }
  json::object const result{{"targets", std::move(list)},
                            {"sources", json::array{to_base64(source.text)}}};
  return make_answer(result, align_blanks(table, 1));
}

Answer answer_outline(const dockerfile::Outline& outline, const RequestSource& source) {
  json::object result;
  put(result, "name", outline.name);
  put(result, "description", outline.description);
  json::array args;
  for (const dockerfile::OutlineArg& arg : outline.args) {
    json::object entry{{"name", arg.name}};
    put(entry, "description", arg.description);
    put(entry, "value", arg.value);
    put_location(entry, arg.lines);
    args.push_back(std::move(entry));
  }
  if (!args.empty()) result["args"] = std::move(args);
  if (!outline.secrets.empty()) result["secrets"] = mounts_of(outline.secrets);
  if (!outline.ssh.empty()) result["ssh"] = mounts_of(outline.ssh);
  result["sources"] = json::array{to_base64(source.text)};
  return make_answer(result, outline_text(outline));
}

Answer answer_lint(const dockerfile::LintReport& report, const RequestSource& source) {
  json::array warnings;
  for (const dockerfile::Warning& warning : report.warnings) {
    json::object entry{{"ruleName", warning.rule}};
    put(entry, "description", warning.description);
    put(entry, "url", warning.url);
    put(entry, "detail", warning.message);
    entry["location"] = location_of(warning.ranges);
    warnings.push_back(std::move(entry));
  }
  json::object info;
  put(info, "filename", source.filename);
  put(info, "data", to_base64(source.text));
  info["definition"] = to_go_json(report.loaded_from);
  info["language"] = "Dockerfile";
  json::object result;
  result["warnings"] = warnings.empty() ? json::value(nullptr) : json::value(std::move(warnings));
  result["sources"] = json::array{std::move(info)};
  if (report.error) result["buildError"] = error_of(*report.error);
  Answer answer = make_answer(result, lint_text(report, source));
  answer["result.statuscode"] = report.warnings.empty() && !report.error ? "0" : "1";
  return answer;
}

Answer answer_convert_llb(const pb::Definition& definition) {
  std::map<std::string, json::value> ops;
  for (const std::string& bytes : definition.def()) {
    pb::Op op;
    if (!op.ParseFromString(bytes)) throw Error(ErrorKind::kInternal, "an op of our own is no op");
    ops[Digest::of(std::string_view(bytes)).to_string()] = proto_json(op);
  }
  json::object def;
  for (auto& [digest, op] : ops) def[digest] = std::move(op);
  json::object as_go = to_go_json(definition);
  json::object const result{{"def", std::move(def)},
                            {"metadata", as_go["metadata"]},
                            {"source", proto_json(definition.source())}};
  Answer answer = make_answer(result, "", kConvertLlbVersion);
  answer.erase("result.txt");
  return answer;
}

std::string render_answer(const Answer& answer) {
  auto const text = answer.find("result.txt");
  if (text != answer.end()) return text->second;
  std::string out;
  for (const auto& [key, value] : answer) {
    if (key.starts_with("result.")) out.append(key).append("\n").append(value).append("\n");
  }
  return out;
}

std::optional<CallOptions> parse_call(std::string_view text) {
  CallOptions call;
  std::string_view rest = text;
  auto const invalid = [](const std::string& what) { return Error(ErrorKind::kInvalidInput, what); };
  while (!rest.empty()) {
    std::size_t const comma = std::min(rest.find(','), rest.size());
    std::string_view const field = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (field.starts_with("format=")) {
      std::string_view const format = field.substr(7);
      if (format != "json" && format != "text" && !format.empty()) {
        throw invalid("invalid --call " + std::string(text) + ": the format is json or text");
      }
      call.json = format == "json";
    } else if (field.starts_with("ignorestatus=")) {
      std::string_view const value = field.substr(13);
      if (value != "true" && value != "false" && value != "1" && value != "0") {
        throw invalid("invalid ignorestatus print value: " + std::string(value));
      }
      call.ignore_status = value == "true" || value == "1";
    } else if (field.find('=') != std::string_view::npos) {
      throw invalid("invalid print field: " + std::string(field));
    } else if (!call.name.empty()) {
      throw invalid("invalid print value: " + std::string(text));
    } else {
      call.name = field;
    }
  }
  if (call.name == "check") call.name = "lint";
  if (call.name.empty() || call.name == "build") return std::nullopt;
  std::vector<std::string> names{"build", "check"};
  bool known = false;
  for (const auto& entry : kRequests) {
    names.emplace_back(entry.first);
    known = known || entry.first == call.name;
  }
  if (!known) {
    throw invalid("invalid --call " + std::string(text) + ": use build, check, outline or targets" +
                  did_you_mean(call.name, names));
  }
  return call;
}

std::string render_call(const CallOptions& call, const Answer& answer, std::size_t warnings,
                        bool failed) {
  auto const find = [&answer](const std::string& key) {
    auto const found = answer.find(key);
    return found == answer.end() ? std::string() : found->second;
  };
  if (call.json || !answer.contains("result.txt")) return find("result.json") + "\n";
  if (call.name != "lint") return find("result.txt");
  if (warnings == 0) return failed ? "" : "Check complete, no warnings found.\n";
  std::string const count =
      warnings == 1 ? "1 warning has been found!" : std::to_string(warnings) + " warnings have been found!";
  return "Check complete, " + count + "\n" + find("result.txt") + (failed ? "\n" : "");
}

}  // namespace cobuild::cli
