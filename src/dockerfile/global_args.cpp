#include <array>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "dockerfile/conversion.hpp"
#include "dockerfile/text.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::dockerfile {
namespace {

/// BUILDPLATFORM and its kin (F1.5.14, F1.5.15), as the build args override them.
EnvList platform_args(const Conversion& conversion) {
  const oci::Platform& build = conversion.build_platform;
  const oci::Platform& target = conversion.target_platform;
  std::string stage = conversion.options.target;
  if (stage.empty()) stage = conversion.file.stages.back().name;
  if (stage.empty()) stage = "default";
  std::array<std::pair<std::string, std::string>, 11> const values{
      {{"BUILDPLATFORM", oci::format_platform(build)},
       {"BUILDOS", build.os},
       {"BUILDOSVERSION", build.os_version},
       {"BUILDARCH", build.architecture},
       {"BUILDVARIANT", build.variant},
       {"TARGETPLATFORM", oci::format_platform_all(target)},
       {"TARGETOS", target.os},
       {"TARGETOSVERSION", target.os_version},
       {"TARGETARCH", target.architecture},
       {"TARGETVARIANT", target.variant},
       {"TARGETSTAGE", stage}}};
  EnvList args;
  for (const auto& [key, value] : values) {
    auto const given = conversion.build_args.find(key);
    args.set(key, given != conversion.build_args.end() ? given->second : value);
  }
  return args;
}

/// What is known of a global ARG after an earlier one of the same name.
void note_arg(std::map<std::string, GlobalArgInfo>& infos, const Instruction& instruction,
              const std::string& key, std::string value, std::set<std::string> needs) {
  GlobalArgInfo& info = infos[key];
  if (needs.erase(key) > 0) needs.insert(info.needs.begin(), info.needs.end());
  info.needs = std::move(needs);
  info.outline = {.name = key,
                  .description = description_in(instruction.comments, key),
                  .value = std::move(value),
                  .lines = instruction.lines};
}

/// `args` with the file's global ARGs evaluated from left to right. `infos` gets what they come to.
EnvList evaluate(const Conversion& conversion, EnvList args,
                 const std::map<std::string, std::string>& build_args,
                 std::map<std::string, GlobalArgInfo>& infos) {
  for (const Instruction& instruction : conversion.file.global_args) {
    for (const ArgCommand::Arg& arg : std::get<ArgCommand>(instruction.command).args) {
      auto const given = build_args.find(arg.key);
      ExpandedWord word;
      if (given != build_args.end()) {
        word.text = given->second;
      } else if (arg.value) {
        try {
          word = expand_word(*arg.value, args, conversion.words);
        } catch (const Error& error) {
          throw error.with_span(conversion.span(instruction.lines));
        }
      }
      if (given != build_args.end() || arg.value) args.set(arg.key, word.text);
      note_arg(infos, instruction, arg.key, std::move(word.text), std::move(word.matched));
    }
  }
  return args;
}

/// F1.12.17: base names should be valid when nobody gives build args.
void check_default_bases(Conversion& conversion, const EnvList& platform) {
  try {
    std::map<std::string, GlobalArgInfo> infos;
    EnvList const args = evaluate(conversion, platform, {}, infos);
    for (const Stage& stage : conversion.file.stages) {
      std::string const name = expand_word(stage.base, args, conversion.words).text;
      if (oci::Reference::try_parse(name)) continue;
      conversion.linter.report(Rule::kInvalidDefaultArgInFrom,
                               "Default value for ARG " + stage.base +
                                   " results in empty or invalid base image name",
                               stage.lines, {});
    }
  } catch (const Error&) {
    return;  // The conversion fails at the same place, and says so.
  }
}

}  // namespace

void read_global_args(Conversion& conversion) {
  EnvList const platform = platform_args(conversion);
  check_default_bases(conversion, platform);
  conversion.global_args =
      evaluate(conversion, platform, conversion.build_args, conversion.global_arg_infos);
  for (const Instruction& instruction : conversion.file.global_args) {
    for (const ArgCommand::Arg& arg : std::get<ArgCommand>(instruction.command).args) {
      conversion.declared_global_args.insert(arg.key);
    }
  }
}

}  // namespace cobuild::dockerfile
