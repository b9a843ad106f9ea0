#include "dockerfile/lint.hpp"

#include <algorithm>
#include <array>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/rune.hpp"
#include "dockerfile/directives.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr std::string_view kUrlPrefix = "https://docs.docker.com/go/dockerfile/rule/";

struct RuleText {
  std::string_view name;
  std::string_view description;
  std::string_view page;  ///< Of the documentation; empty: none.
  bool experimental = false;
};

/// In the order of enum Rule. Descriptions are part of what tools show, so they are BuildKit's.
constexpr std::array<RuleText, 22> kRules{{
    {"StageNameCasing", "Stage names should be lowercase", "stage-name-casing"},
    {"FromAsCasing", "The 'as' keyword should match the case of the 'from' keyword", "from-as-casing"},
    {"NoEmptyContinuation", "Empty continuation lines will become errors in a future release",
     "no-empty-continuation"},
    {"ConsistentInstructionCasing",
     "All commands within the Dockerfile should use the same casing (either upper or lower)",
     "consistent-instruction-casing"},
    {"DuplicateStageName", "Stage names should be unique", "duplicate-stage-name"},
    {"ReservedStageName", "Reserved words should not be used as stage names", "reserved-stage-name"},
    {"JSONArgsRecommended",
     "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
     "json-args-recommended"},
    {"MaintainerDeprecated",
     "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
     "maintainer-deprecated"},
    {"UndefinedArgInFrom", "FROM command must use declared ARGs", "undefined-arg-in-from"},
    {"WorkdirRelativePath",
     "Relative workdir without an absolute workdir declared within the build can have unexpected "
     "results if the base image changes",
     "workdir-relative-path"},
    {"UndefinedVar", "Variables should be defined before their use", "undefined-var"},
    {"MultipleInstructionsDisallowed",
     "Multiple instructions of the same type should not be used in the same stage",
     "multiple-instructions-disallowed"},
    {"LegacyKeyValueFormat", "Legacy key/value format with whitespace separator should not be used",
     "legacy-key-value-format"},
    {"InvalidBaseImagePlatform", "Base image platform does not match expected target platform", ""},
    {"RedundantTargetPlatform",
     "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default "
     "behavior",
     "redundant-target-platform"},
    {"SecretsUsedInArgOrEnv", "Sensitive data should not be used in the ARG or ENV commands",
     "secrets-used-in-arg-or-env"},
    {"InvalidDefaultArgInFrom",
     "Default value for global ARG results in an empty or invalid base image name",
     "invalid-default-arg-in-from"},
    {"FromPlatformFlagConstDisallowed", "FROM --platform flag should not use a constant value",
     "from-platform-flag-const-disallowed"},
    {"CopyIgnoredFile", "Attempting to Copy file that is excluded by .dockerignore", "copy-ignored-file"},
    {"InvalidDefinitionDescription",
     "Comment for build stage or argument should follow the format: `# <arg/stage name> "
     "<description>`. If this is not intended to be a description comment, add an empty line or "
     "comment between the instruction and the comment.",
     "invalid-definition-description", true},
    {"ExposeProtoCasing", "Protocol in EXPOSE instruction should be lowercase", "expose-proto-casing"},
    {"ExposeInvalidFormat",
     "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an "
     "error in a future release",
     "expose-invalid-format"},
}};

std::set<std::string> parse_names(std::string_view text) {
  std::set<std::string> names;
  for (const std::string& name : split(text, ',')) names.emplace(trim_space(name));
  return names;
}

/// The instruction's own configuration; nothing when it has none, or a bad one.
LintConfig config_of(const std::vector<std::string>& comments) {
  for (const std::string& comment : comments) {
    DirectiveReader reader("");
    auto const directive = reader.read(comment);
    if (!directive || directive->name != "check") continue;
    try {
      return LintConfig::parse(cut(directive->value, ' ').first);
    } catch (const Error&) {
      return {};
    }
  }
  return {};
}

bool has_word(std::string_view key, std::string_view word) {
  auto const words = split(to_lower(key), '_');
  return std::ranges::find(words, word) != words.end();
}

}  // namespace

LintConfig LintConfig::parse(std::string_view text) {
  LintConfig config;
  text = trim_space(text);
  if (text.empty()) return config;
  for (const std::string& part : split(text, ';')) {
    auto const [key, value] = cut(part, '=');
    if (!value) throw Error(ErrorKind::kInvalidInput, "invalid check option " + go_quote(part));
    std::string_view const name = trim_space(key);
    std::string_view const setting = trim_space(*value);
    if (name == "skip") {
      config.skip_all = setting == "all";
      if (!config.skip_all) config.skip = parse_names(setting);
    } else if (name == "experimental") {
      config.experimental_all = setting == "all";
      if (!config.experimental_all) config.experimental = parse_names(setting);
    } else if (name == "error") {
      auto const flag = try_parse_bool(setting);
      if (!flag) {
        throw Error(ErrorKind::kInvalidInput, "failed to parse check option " + go_quote(part) +
                                                  ": " + go_quote(setting) + " is neither true nor false");
      }
      config.error = *flag;
    } else {
      throw Error(ErrorKind::kInvalidInput, "invalid check option " + go_quote(name));
    }
  }
  return config;
}

void Linter::report(const Finding& finding) {
  report(finding.rule, finding.message, finding.lines, finding.comments);
}

void Linter::report(Rule rule, std::string message, LineRange lines,
                    const std::vector<std::string>& comments) {
  const RuleText& text = kRules.at(static_cast<std::size_t>(rule));
  LintConfig const own = config_of(comments);
  std::string const name(text.name);
  if (text.experimental) {
    bool const wanted = config_.experimental_all || own.experimental_all ||
                        config_.experimental.contains(name) || own.experimental.contains(name);
    if (!wanted) return;
  } else if (config_.skip_all || own.skip_all || config_.skip.contains(name) || own.skip.contains(name)) {
    return;
  }
  Warning warning;
  warning.rule = name;
  warning.summary = name + ": " + message;
  if (lines.first > 0) warning.summary += " (line " + std::to_string(lines.first) + ")";
  warning.message = std::move(message);
  warning.description = text.description;
  if (!text.page.empty()) warning.url = std::string(kUrlPrefix).append(text.page) + "/";
  if (lines.first > 0) warning.ranges.push_back(lines);
  warnings_.push_back(std::move(warning));
}

void Linter::throw_if_fatal() const {
  if (!config_.error || warnings_.empty()) return;
  std::vector<std::string> rules;  // In the order in which they were first broken.
  for (const Warning& warning : warnings_) {
    if (std::ranges::find(rules, warning.rule) == rules.end()) rules.push_back(warning.rule);
  }
  throw Error(ErrorKind::kInvalidInput, "lint violation found for rules: " + join(rules, ", "));
}

bool names_a_secret(std::string_view key) {
  constexpr std::array<std::string_view, 10> kSecrets{"apikey", "auth",   "credential", "credentials",
                                                      "key",    "password", "pword",    "passwd",
                                                      "secret", "token"};
  constexpr std::array<std::string_view, 3> kHarmless{"public", "file", "version"};
  auto const in_key = [key](std::string_view word) { return has_word(key, word); };
  return std::ranges::any_of(kSecrets, in_key) && std::ranges::none_of(kHarmless, in_key);
}

}  // namespace cobuild::dockerfile
