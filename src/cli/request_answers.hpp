#pragma once

/// Sub-requests (F1.13) and what answers them, byte for byte as BuildKit words it: the metadata
/// "result.json", "result.txt", "version", and "result.statuscode" of the linter.

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/options.hpp"
#include "dockerfile/requests.hpp"

namespace cobuild::cli {

using Answer = std::map<std::string, std::string>;

enum class Request { kDescribe, kOutline, kTargets, kLint, kConvertLlb };

/// The request that an id names: "frontend.outline". \throws Error kInvalidInput for unknown ones.
[[nodiscard]] Request parse_request(const std::string& id);

/// The file that was asked about.
struct RequestSource {
  std::string filename;
  std::string text;
};

[[nodiscard]] Answer answer_describe();
[[nodiscard]] Answer answer_targets(const std::vector<dockerfile::TargetInfo>& targets,
                                    const RequestSource& source);
[[nodiscard]] Answer answer_outline(const dockerfile::Outline& outline, const RequestSource& source);
[[nodiscard]] Answer answer_lint(const dockerfile::LintReport& report, const RequestSource& source);
[[nodiscard]] Answer answer_convert_llb(const pb::Definition& definition);

/// What `--opt requestid=` prints, as buildctl does.
[[nodiscard]] std::string render_answer(const Answer& answer);

/// nullopt for "build", which is no call. \throws Error kInvalidInput
[[nodiscard]] std::optional<CallOptions> parse_call(std::string_view text);

/// What `--call` prints on standard output. `warnings` is the number of the linter's findings.
[[nodiscard]] std::string render_call(const CallOptions& call, const Answer& answer,
                                      std::size_t warnings, bool failed);

}  // namespace cobuild::cli
