#pragma once

/// The linter (F1.12): which findings are shown. What is found is said where it is found.

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/warning.hpp"

namespace cobuild::dockerfile {

enum class Rule {
  kStageNameCasing,
  kFromAsCasing,
  kNoEmptyContinuation,
  kConsistentInstructionCasing,
  kDuplicateStageName,
  kReservedStageName,
  kJsonArgsRecommended,
  kMaintainerDeprecated,
  kUndefinedArgInFrom,
  kWorkdirRelativePath,
  kUndefinedVar,
  kMultipleInstructionsDisallowed,
  kLegacyKeyValueFormat,
  kInvalidBaseImagePlatform,
  kRedundantTargetPlatform,
  kSecretsUsedInArgOrEnv,
  kInvalidDefaultArgInFrom,
  kFromPlatformFlagConstDisallowed,
  kCopyIgnoredFile,
  kInvalidDefinitionDescription,
  kExposeProtoCasing,
  kExposeInvalidFormat,
};

/// Something that a rule objects to, before it is known whether that is wanted.
struct Finding {
  Rule rule = Rule::kStageNameCasing;
  std::string message;
  LineRange lines;
  std::vector<std::string> comments;  ///< Above the instruction: may say `check=skip=Rule`.
};

/// `# check=skip=A,B;error=true;experimental=C` (F1.1.6).
struct LintConfig {
  bool skip_all = false;
  std::set<std::string> skip;
  bool experimental_all = false;
  std::set<std::string> experimental;
  bool error = false;

  /// \throws Error kInvalidInput with BuildKit's message.
  [[nodiscard]] static LintConfig parse(std::string_view text);
};

class Linter {
 public:
  /// `warnings` gets what is found, and must outlive the linter.
  Linter(LintConfig config, std::vector<Warning>& warnings) : config_(std::move(config)), warnings_(warnings) {}

  /// Keeps the finding unless the file's or the instruction's configuration says otherwise.
  void report(const Finding& finding);
  void report(Rule rule, std::string message, LineRange lines, const std::vector<std::string>& comments);

  /// \throws Error kInvalidInput "lint violation found for rules: A, B" when the configuration makes
  /// findings errors and there are some.
  void throw_if_fatal() const;

 private:
  LintConfig config_;
  std::vector<Warning>& warnings_;
};

/// Whether a variable's name says that its value is a secret (F1.12.16).
[[nodiscard]] bool names_a_secret(std::string_view key);

}  // namespace cobuild::dockerfile
