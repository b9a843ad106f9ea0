#include "dockerfile/instruction.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/rune.hpp"
#include "core/base/suggest.hpp"
#include "dockerfile/instruction_flags.hpp"
#include "dockerfile/run_flags.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

using Kind = InstructionFlags::Kind;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

void refuse_flags(const Statement& statement) { InstructionFlags().parse(statement.flags); }

const std::string& only_arg(const Statement& statement, const std::string& name) {
  if (statement.args.size() != 1) fail(name + " requires exactly one argument");
  return statement.args[0];
}

std::vector<KeyValue> parse_pairs(const Statement& statement, const std::string& name) {
  refuse_flags(statement);
  if (statement.args.empty()) fail(name + " requires at least one argument");
  std::vector<KeyValue> pairs;
  for (std::size_t i = 0; i + 2 < statement.args.size(); i += 3) {
    if (statement.args[i].empty()) fail(name + " names can not be blank");
    pairs.push_back({statement.args[i], statement.args[i + 1], statement.args[i + 2].empty()});
  }
  return pairs;
}

ArgCommand parse_arg(const Statement& statement) {
  if (statement.args.empty()) fail("ARG requires at least one argument");
  ArgCommand command;
  for (const std::string& arg : statement.args) {
    auto const [key, value] = cut(arg, '=');
    if (value && key.empty()) fail("ARG names can not be blank");
    ArgCommand::Arg parsed{.key = std::string(key), .value = {}};
    if (value) parsed.value = std::string(*value);
    command.args.push_back(std::move(parsed));
  }
  return command;
}

void parse_sources(const Statement& statement, const std::string& name, CopyCommand& command) {
  command.destination = statement.args.back();
  if (try_parse_heredoc_marker(command.destination)) {
    fail(name + " cannot accept a heredoc as a destination");
  }
  for (std::size_t i = 0; i + 1 < statement.args.size(); ++i) {
    auto const marker = try_parse_heredoc_marker(statement.args[i]);
    if (!marker) {
      command.sources.push_back(statement.args[i]);
      continue;
    }
    CopyCommand::Document document{.name = marker->name, .content = {}, .expand = marker->expand};
    for (const Heredoc& heredoc : statement.heredocs) {  // Of equal names, the last.
      if (heredoc.name == marker->name) document.content = heredoc.content;
    }
    if (marker->chomp) document.content = chomp_tabs(document.content);
    command.documents.push_back(std::move(document));
  }
}

CopyCommand parse_copy(const Statement& statement, bool is_add) {
  std::string const name = is_add ? "ADD" : "COPY";
  if (statement.args.size() < 2) {
    fail(name + " requires at least two arguments, but only one was provided. Destination could not be "
                "determined");
  }
  InstructionFlags flags;
  for (const char* flag : {"chown", "chmod"}) flags.add(flag, Kind::kValue);
  flags.add("link", Kind::kBool);
  flags.add("exclude", Kind::kValues);
  flags.add(is_add ? "checksum" : "from", Kind::kValue);
  flags.add(is_add ? "unpack" : "parents", Kind::kBool);
  if (is_add) flags.add("keep-git-dir", Kind::kBool);
  flags.parse(statement.flags);

  CopyCommand command;
  command.is_add = is_add;
  parse_sources(statement, name, command);
  command.from = flags.value("from");
  command.chown = flags.value("chown");
  command.chmod = flags.value("chmod");
  command.checksum = flags.value("checksum");
  command.excludes = flags.values("exclude");
  command.link = flags.is_true("link");
  command.parents = flags.is_true("parents");
  if (flags.find("unpack")) command.unpack = flags.is_true("unpack");
  if (flags.find("keep-git-dir")) command.keep_git_dir = flags.is_true("keep-git-dir");
  return command;
}

/// A list as it is; anything else is one text.
std::vector<std::string> list_or_text(const Statement& statement) {
  if (statement.args.empty() || statement.json) return statement.args;
  return {join(statement.args, " ")};
}

CommandLine parse_command_line(const Statement& statement) {
  return {.args = list_or_text(statement), .heredocs = statement.heredocs,
          .is_shell_form = !statement.json};
}

RunCommand parse_run(const Statement& statement) {
  InstructionFlags flags;
  flags.add("mount", Kind::kValues);
  flags.add("device", Kind::kValues);
  flags.add("network", Kind::kValue);
  flags.add("security", Kind::kValue);
  flags.parse(statement.flags);
  RunCommand command;
  command.line = parse_command_line(statement);
  command.mounts = flags.values("mount");
  for (const std::string& mount : command.mounts) command.mount_froms.push_back(parse_mount_from(mount));
  for (const std::string& device : flags.values("device")) command.devices.push_back(parse_run_device(device));
  std::string const network = flags.find("network").value_or("default");
  if (network == "none") {
    command.network = pb::NONE;
  } else if (network == "host") {
    command.network = pb::HOST;
  } else if (network != "default") {
    fail("invalid network mode " + go_quote(network));
  }
  command.network_given = network != "default";
  std::string const security = flags.find("security").value_or("sandbox");
  if (security == "insecure") {
    command.security = pb::INSECURE;
  } else if (security != "sandbox") {
    fail("security " + go_quote(security) + " is not valid");
  }
  return command;
}

ShellCommand parse_shell(const Statement& statement) {
  refuse_flags(statement);
  if (statement.args.empty()) fail("SHELL requires at least one argument");
  if (!statement.json) fail("SHELL requires the arguments to be in JSON form");
  return {statement.args};
}

VolumeCommand parse_volume(const Statement& statement) {
  if (statement.args.empty()) fail("VOLUME requires at least one argument");
  refuse_flags(statement);
  VolumeCommand command;
  for (const std::string& path : statement.args) {
    command.paths.emplace_back(trim_space(path));
    if (command.paths.back().empty()) fail("VOLUME specified can not be an empty string");
  }
  return command;
}

ExposeCommand parse_expose(const Statement& statement) {
  if (statement.args.empty()) fail("EXPOSE requires at least one argument");
  refuse_flags(statement);
  ExposeCommand command{statement.args};
  std::ranges::sort(command.ports);
  return command;
}

OnbuildCommand parse_onbuild(const Statement& statement) {
  if (statement.args.empty()) fail("ONBUILD requires at least one argument");
  refuse_flags(statement);
  std::string const keyword = to_upper(trim_space(statement.args[0]));
  if (keyword == "ONBUILD") fail("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (keyword == "MAINTAINER" || keyword == "FROM") {
    fail(keyword + " isn't allowed as an ONBUILD trigger");
  }
  std::string_view trigger = trim_space_left(statement.original);
  OnbuildCommand command{std::string(trim_space_left(trigger.substr(statement.keyword.size())))};
  for (const Heredoc& heredoc : statement.heredocs) {
    command.trigger += "\n" + heredoc.content + heredoc.name;
  }
  return command;
}

template <class T>
T with_flags_refused(const Statement& statement, T command) {
  refuse_flags(statement);
  return command;
}

using Parser = std::function<Command(const Statement&)>;

const std::map<std::string, Parser, std::less<>>& parsers() {
  static const std::map<std::string, Parser, std::less<>> kParsers{
      {"add", [](const Statement& s) { return parse_copy(s, true); }},
      {"arg", parse_arg},
      {"cmd", [](const Statement& s) { return with_flags_refused(s, CmdCommand{parse_command_line(s)}); }},
      {"copy", [](const Statement& s) { return parse_copy(s, false); }},
      {"entrypoint",
       [](const Statement& s) { return with_flags_refused(s, EntrypointCommand{parse_command_line(s)}); }},
      {"env", [](const Statement& s) { return EnvCommand{parse_pairs(s, "ENV")}; }},
      {"expose", parse_expose},
      {"healthcheck", parse_healthcheck},
      {"label", [](const Statement& s) { return LabelCommand{parse_pairs(s, "LABEL")}; }},
      {"maintainer",
       [](const Statement& s) { return with_flags_refused(s, MaintainerCommand{only_arg(s, "MAINTAINER")}); }},
      {"onbuild", parse_onbuild},
      {"run", parse_run},
      {"shell", parse_shell},
      {"stopsignal", [](const Statement& s) { return StopSignalCommand{only_arg(s, "STOPSIGNAL")}; }},
      {"user", [](const Statement& s) { return with_flags_refused(s, UserCommand{only_arg(s, "USER")}); }},
      {"volume", parse_volume},
      {"workdir",
       [](const Statement& s) { return with_flags_refused(s, WorkdirCommand{only_arg(s, "WORKDIR")}); }}};
  return kParsers;
}

[[noreturn]] void fail_unknown(const std::string& keyword) {
  std::vector<std::string> names{"from"};
  for (const auto& entry : parsers()) names.push_back(entry.first);
  auto match = closest_match(to_lower(keyword), names);
  if (!match) fail("unknown instruction: " + keyword);
  if (keyword == to_upper(keyword)) match = to_upper(*match);
  fail("unknown instruction: " + keyword + " (did you mean " + *match + "?)");
}

/// F1.12.20: a comment right above a definition describes it, beginning with its name.
void check_description(const std::string& what, const std::vector<std::string>& names,
                       const Statement& statement, std::vector<Finding>& findings) {
  if (statement.comments.empty() || names.empty()) return;
  std::string const first(cut(statement.comments.back(), ' ').first);
  if (std::ranges::find(names, first) != names.end()) return;
  std::string const example = names.size() > 1 ? "<arg_key>" : names[0];
  findings.push_back({Rule::kInvalidDefinitionDescription,
                      "Comment for " + what + " should follow the format: `# " + example +
                          " <description>`",
                      statement.lines, statement.comments});
}

bool is_stage_name(std::string_view name) {
  auto const is_lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && is_lower(name[0]) && std::ranges::all_of(name, [&](char c) {
    return is_lower(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

void check_from(const Statement& statement, std::vector<Finding>& findings) {
  if (statement.args.size() < 3) return;
  auto const report = [&](Rule rule, std::string message) {
    findings.push_back({rule, std::move(message), statement.lines, statement.comments});
  };
  const std::string& name = statement.args[2];
  if (statement.args.size() == 3 && name != to_lower(name)) {
    report(Rule::kStageNameCasing, "Stage name '" + name + "' should be lowercase");
  }
  const std::string& from = statement.keyword;
  const std::string& as = statement.args[1];
  bool const is_lower = from == to_lower(from);
  if (!is_lower && from != to_upper(from)) return;
  if (as != (is_lower ? to_lower(as) : to_upper(as))) {
    report(Rule::kFromAsCasing, "'" + as + "' and '" + from + "' keywords' casing do not match");
  }
}

}  // namespace

std::string description_in(const std::vector<std::string>& comments, const std::string& name) {
  if (name.empty()) return "";
  for (const std::string& comment : comments) {
    if (comment.starts_with(name + " ")) return comment.substr(name.size() + 1);
  }
  return "";
}

Instruction parse_instruction(const Statement& statement, std::vector<Finding>* findings) {
  auto const parser = parsers().find(to_lower(statement.keyword));
  if (parser == parsers().end()) fail_unknown(statement.keyword);
  if (findings != nullptr && parser->first == "maintainer") {
    findings->push_back({Rule::kMaintainerDeprecated,
                         "Maintainer instruction is deprecated in favor of using label",
                         statement.lines, statement.comments});
  }
  Instruction instruction{.keyword = statement.keyword,
                          .code = std::string(trim_space(statement.original)),
                          .lines = statement.lines,
                          .comments = statement.comments,
                          .command = parser->second(statement)};
  if (const auto* arg = std::get_if<ArgCommand>(&instruction.command); arg != nullptr && findings != nullptr) {
    std::vector<std::string> names;
    for (const auto& one : arg->args) names.push_back(one.key);
    check_description("ARG", names, statement, *findings);
  }
  return instruction;
}

Stage parse_from(const Statement& statement, std::vector<Finding>& findings) {
  check_from(statement, findings);
  Stage stage;
  const auto& args = statement.args;
  if (args.size() == 3 && equals_ignoring_case(args[1], "as")) {
    stage.name = to_lower(args[2]);
    if (!is_stage_name(stage.name)) {
      fail("invalid name for build stage: " + go_quote(args[2]) +
           ", name can't start with a number or contain symbols");
    }
  } else if (args.size() != 1) {
    fail("FROM requires either one or three arguments");
  }
  InstructionFlags flags;
  flags.add("platform", Kind::kValue);
  flags.parse(statement.flags);
  stage.base = args[0];
  stage.platform = flags.value("platform");
  stage.keyword = statement.keyword;
  stage.code = trim_space(statement.original);
  stage.lines = statement.lines;
  stage.comments = statement.comments;
  if (!stage.name.empty()) check_description("FROM", {stage.name}, statement, findings);
  return stage;
}

}  // namespace cobuild::dockerfile
