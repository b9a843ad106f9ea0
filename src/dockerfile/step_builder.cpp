#include "dockerfile/step_builder.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/suggest.hpp"
#include "dockerfile/duration.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

/// With more variables than this, none is suggested for one that is not defined: the search takes time
/// for each of them, at each finding.
constexpr std::size_t kSuggestedVariables_max = 300;

bool is_unseen_arg(const std::string& name) {
  return name == "BUILDKIT_SBOM_SCAN_CONTEXT" || name == "BUILDKIT_SBOM_SCAN_STAGE";
}

std::string pair_text(const KeyValue& pair) { return " " + pair.key + "=" + pair.value; }

/// Sets a variable of the image: where it is, else at the end.
void set_variable(StageState& stage, const std::string& key, const std::string& value) {
  std::vector<std::string>& env = stage.image.config.env;
  for (std::size_t i = stage.env_indexed; i < env.size(); ++i) {
    stage.env_index.emplace(split_variable(env[i]).first, i);
  }
  auto const [place, is_new] = stage.env_index.emplace(key, env.size());
  if (is_new) env.emplace_back();
  env[place->second] = key + "=" + value;
  stage.env_indexed = env.size();
}

/// system.NormalizePath of BuildKit, for Linux: a relative path starts at `parent`. Absolute paths stay
/// as they are written.
std::string absolute_path(const std::string& parent, const std::string& path) {
  if (path.empty()) return parent;
  return go_path::is_absolute(path) ? path : go_path::join(parent, path);
}

std::string with_separator(std::string path, char from, char to) {
  std::ranges::replace(path, from, to);
  return path;
}

}  // namespace

void StepBuilder::build() {
  inherit(stage_);
  stage_.dispatched = true;
  try {
    start_from_base();
  } catch (const Error& error) {
    throw error.with_span(conversion_.span(stage_.lines));
  }
  for (const StageCommand& command : stage_.commands) {
    try {
      apply(command);
    } catch (const Error& error) {
      throw error.with_span(conversion_.span(command.instruction->lines));
    }
  }
}

void StepBuilder::start_from_base() {
  if (!stage_.platform) stage_.platform = conversion_.target_platform;
  auto& config = stage_.image.config;
  bool const has_path = std::ranges::any_of(
      config.env, [](const std::string& entry) { return split_variable(entry).first == "PATH"; });
  if (!has_path && stage_.platform->os != "windows") config.env.emplace_back(kDefaultPath);
  for (const std::string& entry : config.env) {
    auto [key, value] = split_variable(entry);
    stage_.state.env.set(key, std::move(value));
  }
  if (!conversion_.options.hostname.empty()) stage_.state.hostname = conversion_.options.hostname;
  if (!config.working_dir.empty()) enter_directory(config.working_dir);
  if (!config.user.empty()) stage_.state.user = config.user;
  stage_.state.network = conversion_.options.network;
}

void StepBuilder::apply(const StageCommand& command) {
  instruction_ = command.instruction;
  source_ = command.source;
  mount_sources_ = &command.mount_sources;
  stage_.in_trigger = command.is_trigger;
  std::visit([this](const auto& one) { apply_to(one); }, command.instruction->command);
}

std::string StepBuilder::expand(const std::string& word) {
  if (word.find_first_of("$'\"<\\`") == std::string::npos) return word;
  ExpandedWord expanded = expand_word(word, env(), conversion_.words);
  report_undefined(std::move(expanded.unmatched));
  return std::move(expanded.text);
}

std::vector<std::string> StepBuilder::expand(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const std::string& word : words) out.push_back(expand(word));
  return out;
}

std::vector<KeyValue> StepBuilder::expand(const std::vector<KeyValue>& pairs) {
  std::vector<KeyValue> out;
  for (const KeyValue& pair : pairs) {
    std::string key = expand(pair.key);
    out.push_back({std::move(key), expand(pair.value), pair.legacy});
  }
  return out;
}

std::string StepBuilder::expand_document(const std::string& content) {
  ExpandedWord expanded = expand_word(content, env(), {.skip_quotes = true});
  report_undefined(std::move(expanded.unmatched));
  return std::move(expanded.text);
}

void StepBuilder::report_undefined(std::set<std::string> names) {
  if (names.empty()) return;
  for (const ArgCommand::Arg& arg : stage_.build_args) names.erase(arg.key);
  for (const std::string& name : names) {
    if (is_unseen_arg(name)) continue;
    bool const few = stage_.image.config.env.size() + stage_.build_args.size() <= kSuggestedVariables_max;
    auto const match = few ? closest_match(name, env().keys()) : std::nullopt;
    report(Rule::kUndefinedVar, "Usage of undefined variable '$" + name + "'" +
                                    (match ? " (did you mean $" + *match + "?)" : ""));
  }
}

void StepBuilder::report_at(Rule rule, std::string message, LineRange lines) {
  conversion_.linter.report(rule, std::move(message), lines, instruction_->comments);
}

void StepBuilder::check_used_once(std::optional<LineRange>& earlier) {
  if (earlier) {
    report_at(Rule::kMultipleInstructionsDisallowed,
              "Multiple " + instruction_->keyword +
                  " instructions should not be used in the same stage because only the last one will "
                  "be used",
              *earlier);
  }
  earlier = instruction_->lines;
}

void StepBuilder::check_shell_form(const CommandLine& line) {
  if (!line.is_shell_form || !stage_.image.config.shell.empty()) return;
  report(Rule::kJsonArgsRecommended, "JSON arguments recommended for " + instruction_->keyword +
                                         " to prevent unintended behavior related to OS signals");
}

std::vector<std::string> StepBuilder::with_shell(const std::vector<std::string>& args) const {
  std::vector<std::string> out = stage_.image.config.shell;
  if (out.empty()) {
    out = stage_.image.platform.os == "windows" ? std::vector<std::string>{"cmd", "/S", "/C"}
                                                : std::vector<std::string>{"/bin/sh", "-c"};
  }
  out.push_back(join(args, " "));
  return out;
}

void StepBuilder::enter_directory(const std::string& path) {
  std::string& working_dir = stage_.image.config.working_dir;
  bool const windows = stage_.platform->os == "windows";  // Its configs have backslashes (F1.8.15).
  std::string parent = windows ? with_separator(working_dir, '\\', '/') : working_dir;
  if (parent.empty()) parent = "/";
  if (!go_path::is_absolute(parent)) parent = go_path::join("/", parent);
  stage_.state.directory = absolute_path(parent, windows ? with_separator(path, '\\', '/') : path);
  working_dir =
      windows ? with_separator(stage_.state.directory, '/', '\\') : stage_.state.directory;
}

void StepBuilder::apply_to(const EnvCommand& command) {
  std::string message = "ENV";
  auto const pairs = expand(command.pairs);
  for (const KeyValue& pair : pairs) {
    if (pair.legacy) {
      report(Rule::kLegacyKeyValueFormat, "\"" + instruction_->keyword +
                                              " key=value\" should be used instead of legacy \"" +
                                              instruction_->keyword + " key value\" format");
    }
    if (names_a_secret(pair.key)) {
      report(Rule::kSecretsUsedInArgOrEnv,
             "Do not use ARG or ENV instructions for sensitive data (ENV " + go_quote(pair.key) + ")");
    }
    message += pair_text(pair);
    stage_.state.env.set(pair.key, pair.value);
    set_variable(stage_, pair.key, pair.value);
  }
  commit(std::move(message));
}

void StepBuilder::apply_to(const LabelCommand& command) {
  std::string message = "LABEL";
  auto const pairs = expand(command.pairs);
  for (const KeyValue& pair : pairs) {
    if (pair.legacy) {
      report(Rule::kLegacyKeyValueFormat, "\"" + instruction_->keyword +
                                              " key=value\" should be used instead of legacy \"" +
                                              instruction_->keyword + " key value\" format");
    }
    stage_.image.config.labels[pair.key] = pair.value;
    message += pair_text(pair);
  }
  commit(std::move(message));
}

void StepBuilder::apply_to(const ArgCommand& command) {
  std::string message = "ARG";
  for (ArgCommand::Arg arg : command.args) {
    if (names_a_secret(arg.key)) {
      report(Rule::kSecretsUsedInArgOrEnv,
             "Do not use ARG or ENV instructions for sensitive data (ARG " + go_quote(arg.key) + ")");
    }
    auto const given = conversion_.build_args.find(arg.key);
    const std::string* const global = conversion_.global_args.find(arg.key);
    bool const is_global_default =
        given == conversion_.build_args.end() && !arg.value && global != nullptr;
    if (given != conversion_.build_args.end()) {
      arg.value = given->second;  // The default is not even looked at.
    } else if (arg.value) {
      arg.value = expand(*arg.value);
    } else if (global != nullptr) {
      arg.value = *global;
    }
    if (arg.value && !is_unseen_arg(arg.key)) stage_.state.env.set(arg.key, *arg.value);
    message += " " + arg.key + (arg.value ? "=" + *arg.value : "");
    stage_.declared_args.push_back(
        {.outline = {.name = arg.key,
                     .description = description_in(instruction_->comments, arg.key),
                     .value = arg.value.value_or(""),
                     .lines = instruction_->lines},
         .is_global_default = is_global_default});
    stage_.build_args.push_back(std::move(arg));
  }
  commit(std::move(message));
}

void StepBuilder::apply_to(const CmdCommand& command) {
  check_used_once(stage_.cmd_lines);
  check_shell_form(command.line);
  auto args = command.line.is_shell_form ? with_shell(command.line.args) : command.line.args;
  commit("CMD " + quoted_list(args));
  stage_.image.config.cmd = std::move(args);
  stage_.image.config.args_escaped = true;
}

void StepBuilder::apply_to(const EntrypointCommand& command) {
  check_used_once(stage_.entrypoint_lines);
  check_shell_form(command.line);
  auto args = command.line.is_shell_form ? with_shell(command.line.args) : command.line.args;
  commit("ENTRYPOINT " + quoted_list(args));
  stage_.image.config.entrypoint = std::move(args);
  if (!stage_.cmd_lines) stage_.image.config.cmd.clear();
}

void StepBuilder::apply_to(const ShellCommand& command) {
  stage_.image.config.shell = command.shell;
  commit("SHELL " + plain_list(command.shell));
}

void StepBuilder::apply_to(const WorkdirCommand& command) {
  std::string const path = expand(command.path);
  if (!stage_.workdir_set && !go_path::is_absolute(path)) {
    report(Rule::kWorkdirRelativePath, "Relative workdir " + go_quote(path) +
                                           " can have unexpected results if the base image changes");
  }
  stage_.workdir_set = true;
  enter_directory(path);
  std::string const directory = stage_.state.directory;
  if (directory == "/") return commit("WORKDIR /");

  FileNode file{.base = stage_.state.tree, .actions = {}};
  pb::FileActionMkDir& mkdir = *file.actions.emplace_back().action.mutable_mkdir();
  mkdir.set_path(go_path::clean(directory));
  mkdir.set_mode(0755);
  mkdir.set_makeparents(true);
  mkdir.set_timestamp(conversion_.epoch ? conversion_.epoch->time_since_epoch().count() : -1);
  if (!stage_.image.config.user.empty()) {
    *mkdir.mutable_owner() = parse_owner(stage_.image.config.user);
  }
  Node node{.op = std::move(file), .platform = {}, .metadata = {}, .lines = instruction_->lines};
  add_cap(node, "file.base");
  set_name(node, step_name(conversion_, stage_, describe(instruction_->code, env(), conversion_.words),
                           &*stage_.platform, env()));
  stage_.state.tree = conversion_.graph.add(std::move(node));
  commit("WORKDIR " + directory, true);
}

void StepBuilder::apply_to(const UserCommand& command) {
  std::string const user = expand(command.user);
  stage_.state.user = user;
  stage_.image.config.user = user;
  commit("USER " + user);
}

void StepBuilder::apply_to(const MaintainerCommand& command) {
  stage_.image.author = command.name;
  commit("MAINTAINER " + command.name);
}

void StepBuilder::apply_to(const StopSignalCommand& command) {
  std::string const signal = expand(command.signal);
  if (!is_signal(signal)) throw Error(ErrorKind::kInvalidInput, "invalid signal: " + signal);
  stage_.image.config.stop_signal = signal;
  commit("STOPSIGNAL " + signal);
}

void StepBuilder::apply_to(const VolumeCommand& command) {
  auto const paths = expand(command.paths);
  for (const std::string& path : paths) {
    if (path.empty()) throw Error(ErrorKind::kInvalidInput, "VOLUME specified can not be an empty string");
    stage_.image.config.volumes.insert(path);
  }
  commit("VOLUME " + plain_list(paths));
}

void StepBuilder::apply_to(const ExposeCommand& command) {
  std::vector<std::string> ports;
  std::vector<std::pair<Rule, std::string>> findings;
  for (const std::string& word : command.ports) {
    for (const std::string& port : expand_word(word, env(), conversion_.words).words) {
      auto parsed = parse_ports(port, findings);
      ports.insert(ports.end(), parsed.begin(), parsed.end());
    }
  }
  for (auto& [rule, message] : findings) report(rule, std::move(message));
  stage_.image.config.exposed_ports.insert(ports.begin(), ports.end());
  commit("EXPOSE " + plain_list(ports));
}

void StepBuilder::apply_to(const OnbuildCommand& command) {
  stage_.image.config.on_build.push_back(command.trigger);
}

void StepBuilder::apply_to(const HealthcheckCommand& command) {
  check_used_once(stage_.healthcheck_lines);
  const oci::HealthCheck& check = command.check;
  stage_.image.config.healthcheck = check;
  commit("HEALTHCHECK {Test:" + plain_list(check.test) + " Interval:" + format_duration(check.interval) +
         " Timeout:" + format_duration(check.timeout) +
         " StartPeriod:" + format_duration(check.start_period) +
         " StartInterval:" + format_duration(check.start_interval) +
         " Retries:" + std::to_string(check.retries) + "}");
}

}  // namespace cobuild::dockerfile
