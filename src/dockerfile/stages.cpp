#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/suggest.hpp"
#include "dockerfile/conversion.hpp"
#include "dockerfile/named_contexts.hpp"
#include "dockerfile/text.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::dockerfile {
namespace {

void check_stage_names(Conversion& conversion) {
  std::set<std::string> seen;
  for (const Stage& stage : conversion.file.stages) {
    if (stage.name.empty()) continue;
    if (stage.name == "context" || stage.name == kScratchName) {
      conversion.linter.report(Rule::kReservedStageName,
                               "Stage name should not use the same name as reserved stage " +
                                   go_quote(stage.name),
                               stage.lines, {});
    }
    if (!seen.insert(stage.name).second) {
      conversion.linter.report(Rule::kDuplicateStageName,
                               "Duplicate stage name " + go_quote(stage.name) +
                                   ", stage names should be unique",
                               stage.lines, {});
    }
  }
}

/// F1.12.4: all keywords in the case that most have.
void check_keyword_case(Conversion& conversion) {
  std::vector<std::pair<const std::string*, LineRange>> keywords;
  for (const Stage& stage : conversion.file.stages) {
    keywords.emplace_back(&stage.keyword, stage.lines);
    for (const Instruction& one : stage.instructions) keywords.emplace_back(&one.keyword, one.lines);
  }
  int balance = 0;
  for (const auto& [keyword, lines] : keywords) {
    if (*keyword == to_lower(*keyword)) {
      ++balance;
    } else if (*keyword == to_upper(*keyword)) {
      --balance;
    }
  }
  bool const lower = balance > 0;
  for (const auto& [keyword, lines] : keywords) {
    if (*keyword == (lower ? to_lower(*keyword) : to_upper(*keyword))) continue;
    conversion.linter.report(Rule::kConsistentInstructionCasing,
                             "Command '" + *keyword + "' should match the case of the command majority (" +
                                 (lower ? "lowercase" : "uppercase") + ")",
                             lines, {});
  }
}

void report_undeclared(Conversion& conversion, const Stage& stage, const ExpandedWord& word) {
  std::vector<std::string> keys = conversion.global_args.keys();
  for (const std::string& key : conversion.declared_global_args) keys.push_back(key);
  for (const std::string& name : word.unmatched) {
    if (conversion.declared_global_args.contains(name)) continue;
    conversion.linter.report(Rule::kUndefinedArgInFrom,
                             "FROM argument '" + name + "' is not declared" + did_you_mean(name, keys),
                             stage.lines, stage.comments);
  }
}

void check_platform(Conversion& conversion, const Stage& stage, const ExpandedWord& word) {
  report_undeclared(conversion, stage, word);
  const std::string* const target = conversion.global_args.find("TARGETPLATFORM");
  if (word.matched.size() == 1 && word.unmatched.empty() && word.matched.contains("TARGETPLATFORM") &&
      target != nullptr && word.text == *target) {
    conversion.linter.report(Rule::kRedundantTargetPlatform,
                             "Setting platform to predefined " + stage.platform +
                                 " in FROM is redundant as this is the default behavior",
                             stage.lines, stage.comments);
  }
}

void check_constant_platform(Conversion& conversion, const Stage& stage, const ExpandedWord& word,
                             const oci::Platform& platform) {
  if (!word.matched.empty() || !word.unmatched.empty()) return;
  if (stage.name.find(platform.os) != std::string::npos ||
      stage.name.find(platform.architecture) != std::string::npos) {
    return;
  }
  conversion.linter.report(Rule::kFromPlatformFlagConstDisallowed,
                           "FROM --platform flag should not use constant value " + go_quote(word.text),
                           stage.lines, stage.comments);
}

/// The value of FROM --platform.
oci::Platform read_platform(Conversion& conversion, const Stage& stage) {
  ExpandedWord const word = expand_word(stage.platform, conversion.global_args, conversion.words);
  check_platform(conversion, stage, word);
  std::string suggestion;
  for (const std::string& name : word.unmatched) {
    suggestion = did_you_mean(name, conversion.global_args.keys());
    if (!suggestion.empty()) break;
  }
  if (word.text.empty()) {
    throw Error(ErrorKind::kInvalidInput,
                "empty platform value from expression " + stage.platform + suggestion);
  }
  try {
    oci::Platform platform = oci::parse_platform(word.text);
    check_constant_platform(conversion, stage, word, platform);
    return platform;
  } catch (const Error& error) {
    throw Error(ErrorKind::kInvalidInput, "failed to parse platform " + stage.platform + ": " +
                                              error.what() + suggestion);
  }
}

bool is_numbered(const Instruction& instruction) {
  return std::holds_alternative<CopyCommand>(instruction.command) ||
         std::holds_alternative<RunCommand>(instruction.command) ||
         std::holds_alternative<WorkdirCommand>(instruction.command);
}

bool ignores_cache(const ConvertOptions& options, const std::string& name) {
  if (!options.no_cache_stages) return false;
  return options.no_cache_stages->empty() ||
         std::ranges::any_of(*options.no_cache_stages, [&name](const std::string& stage) {
           return equals_ignoring_case(stage, name);
         });
}

const oci::Platform* platform_of(const StageState& stage) {
  return stage.platform ? &*stage.platform : nullptr;
}

/// The stage that the context called `name` is, if it is one ("target:build"); null for all other names.
StageState* find_target_context(const Conversion& conversion, const std::string& name,
                                const oci::Platform* platform) {
  if (!oci::Reference::try_parse(name)) return nullptr;
  auto const context = find_named_context(conversion, name, platform);
  if (!context) return nullptr;
  std::string const target = target_stage_of(*context);
  if (target.empty()) return nullptr;
  if (StageState* const stage = conversion.stages.find(target)) return stage;
  throw Error(ErrorKind::kInvalidInput, "invalid target " + go_quote(target) + " for context " +
                                            context->label + ": no stage before this one has that name" +
                                            did_you_mean(target, conversion.stages.names()));
}

/// F1.10.18: a context has the stage's name. None of its instructions is looked at.
void add_replaced_stage(Conversion& conversion, std::unique_ptr<StageState> stage,
                        const NamedContext& context) {
  StageState* const target = find_target_context(conversion, stage->name, platform_of(*stage));
  stage->is_replaced = target == nullptr;
  stage->without_instructions = true;
  StageState& added = conversion.stages.add(std::move(stage));
  added.base = target;
  if (target == &added) {
    throw Error(ErrorKind::kInvalidInput, "context " + context.label + " stands for itself");
  }
}

void add_stage(Conversion& conversion, const Stage& parsed, std::size_t index) {
  ExpandedWord const base = expand_word(parsed.base, conversion.global_args, conversion.words);
  report_undeclared(conversion, parsed, base);
  if (base.text.empty()) {
    throw Error(ErrorKind::kInvalidInput, "base name (" + parsed.base + ") should not be blank");
  }
  auto stage = std::make_unique<StageState>();
  stage->parsed = &parsed;
  stage->name = parsed.name;
  stage->display_name = parsed.name.empty() ? "stage-" + std::to_string(index) : parsed.name;
  stage->base_name = base.text;
  stage->lines = parsed.lines;
  if (!parsed.platform.empty()) stage->platform = read_platform(conversion, parsed);
  auto const own = parsed.name.empty() ? std::nullopt
                                       : find_named_context(conversion, parsed.name, platform_of(*stage));
  if (own) return add_replaced_stage(conversion, std::move(stage), *own);
  stage->ignore_cache = ignores_cache(conversion.options, parsed.name);
  StageState& added = conversion.stages.add(std::move(stage));
  if (added.base == nullptr) added.base = find_target_context(conversion, added.base_name, platform_of(added));
  added.step_count = added.base_name != kScratchName && added.base == nullptr ? 1 : 0;
  added.step_count += static_cast<int>(std::ranges::count_if(parsed.instructions, is_numbered));
}

/// The stage of this name; made when it is an image.
StageState& stage_or_image(Conversion& conversion, const Instruction& instruction, const std::string& from) {
  if (StageState* const stage = conversion.stages.find(from)) return *stage;
  if (StageState* const stage = find_target_context(conversion, from, nullptr)) return *stage;
  auto image = std::make_unique<StageState>();
  image->base_name = from;
  image->lines = instruction.lines;
  image->unregistered = true;
  return conversion.stages.add(std::move(image));
}

/// The stage that COPY --from names.
StageState& find_source(Conversion& conversion, const Instruction& instruction, const std::string& from) {
  if (expand_word(from, EnvList(), conversion.words).text != from) {
    throw Error(ErrorKind::kInvalidInput,
                "variable expansion is not supported for --from, define a new stage with FROM using ARG "
                "from global scope as a workaround");
  }
  if (auto const index = try_parse_integer(from)) {
    StageState* const stage = conversion.stages.at(*index);
    if (stage == nullptr) {
      throw Error(ErrorKind::kInvalidInput, "invalid stage index " + std::to_string(*index));
    }
    return *stage;
  }
  return stage_or_image(conversion, instruction, from);
}

/// F1.6.19: names only, and even where nothing is taken: the stages count for the steps' names.
void bind_mounts(Conversion& conversion, StageState& stage, const RunCommand& run, StageCommand& command) {
  for (const std::string& from : run.mount_froms) {
    StageState& source = stage_or_image(conversion, *command.instruction,
                                        from.empty() ? std::string(kScratchName) : from);
    command.mount_sources.push_back(&source);
    stage.dependencies.emplace_back(&source, command.instruction);
  }
}

/// F1.4.14. Depth does not consume stack.
void refuse_cycles(const Conversion& conversion) {
  struct Visit {
    const StageState* stage;
    std::size_t next = 0;
  };
  std::set<const StageState*> done;
  std::set<const StageState*> on_path;
  for (const auto& start : conversion.stages.all()) {
    std::vector<Visit> path;
    auto enter = [&](const StageState* stage) {
      if (!done.insert(stage).second) return;
      on_path.insert(stage);
      path.push_back({stage});
    };
    enter(start.get());
    while (!path.empty()) {
      Visit& top = path.back();
      if (top.next == top.stage->dependencies.size()) {
        on_path.erase(top.stage);
        path.pop_back();
        continue;
      }
      const auto& [source, instruction] = top.stage->dependencies[top.next++];
      if (on_path.contains(source)) {
        throw Error(ErrorKind::kInvalidInput,
                    "circular dependency detected on stage: " + start->display_name)
            .with_span(conversion.span(instruction->lines));
      }
      enter(source);
    }
  }
}

StageState& find_target(const Conversion& conversion) {
  const std::string& name = conversion.options.target;
  if (name.empty()) return *conversion.stages.all().back();
  if (StageState* const stage = conversion.stages.find(name)) return *stage;
  throw Error(ErrorKind::kInvalidInput, "target stage " + go_quote(name) + " could not be found" +
                                            did_you_mean(name, conversion.stages.names()));
}

}  // namespace

StageCommand bind_command(Conversion& conversion, StageState& stage, const Instruction& instruction,
                          bool is_trigger) {
  StageCommand command{
      .instruction = &instruction, .source = nullptr, .mount_sources = {}, .is_trigger = is_trigger};
  if (const auto* const run = std::get_if<RunCommand>(&instruction.command)) {
    bind_mounts(conversion, stage, *run, command);
    return command;
  }
  const auto* const copy = std::get_if<CopyCommand>(&instruction.command);
  if (copy == nullptr || copy->from.empty()) return command;
  command.source = &find_source(conversion, instruction, copy->from);
  stage.dependencies.emplace_back(command.source, &instruction);
  return command;
}

void check_names(Conversion& conversion) {
  check_stage_names(conversion);
  check_keyword_case(conversion);
}

StageState& build_stages(Conversion& conversion) {
  for (std::size_t i = 0; i < conversion.file.stages.size(); ++i) {
    const Stage& parsed = conversion.file.stages[i];
    try {
      add_stage(conversion, parsed, i);
    } catch (const Error& error) {
      throw error.with_span(conversion.span(parsed.lines));
    }
  }
  StageState& target = find_target(conversion);
  std::size_t const stage_count = conversion.stages.size();
  for (std::size_t i = 0; i < stage_count; ++i) {
    StageState& stage = *conversion.stages.all()[i];
    if (stage.without_instructions) continue;
    for (const Instruction& instruction : stage.parsed->instructions) {
      try {
        stage.commands.push_back(bind_command(conversion, stage, instruction, false));
      } catch (const Error& error) {
        throw error.with_span(conversion.span(instruction.lines));
      }
    }
  }
  refuse_cycles(conversion);
  if (conversion.stages.size() == 1) target.display_name.clear();
  return target;
}

std::set<const StageState*> reachable_stages(const StageState& target) {
  std::set<const StageState*> reached;
  std::vector<const StageState*> waiting{&target};
  while (!waiting.empty()) {
    const StageState* const stage = waiting.back();
    waiting.pop_back();
    if (stage == nullptr || !reached.insert(stage).second) continue;
    waiting.push_back(stage->base);
    for (const auto& dependency : stage->dependencies) waiting.push_back(dependency.first);
  }
  return reached;
}

}  // namespace cobuild::dockerfile
