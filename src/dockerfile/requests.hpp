#pragma once

/// What can be asked of a Dockerfile beside building it (F1.13): which targets it has, which parameters a
/// target takes, what the linter says. Pure, like the rest of the frontend.

#include <optional>
#include <string>
#include <vector>

#include "dockerfile/frontend.hpp"

namespace cobuild::dockerfile {

/// A stage, as `frontend.targets` lists it.
struct TargetInfo {
  std::string name;         ///< Empty: it has none.
  std::string description;  ///< From a comment right above it: `# name description`.
  std::string base;         ///< As written.
  std::string platform;     ///< As written.
  bool is_default = false;  ///< What is built when no target is named.
  LineRange lines;
};

/// A build argument that the target, or a stage that it needs, makes use of.
struct OutlineArg {
  std::string name;
  std::string description;
  std::string value;  ///< What it would be in a build with the same options; empty when it has none.
  LineRange lines;
};

/// A secret, or an SSH agent, that a RUN mounts.
struct OutlineMount {
  std::string name;
  bool required = false;
  LineRange lines;
};

struct Outline {
  std::string name;         ///< Of the target; empty when it has none.
  std::string description;
  std::vector<OutlineArg> args;  ///< These lists are in the order of lines.
  std::vector<OutlineMount> secrets;
  std::vector<OutlineMount> ssh;
};

struct LintReport {
  std::vector<Warning> warnings;
  std::optional<Error> error;  ///< Why it would not build; warnings are then those found before.
  pb::Definition loaded_from;  ///< How BuildKit's client would load the file.
};

/// The stages in the order of the file. \throws Error what is wrong with the file.
[[nodiscard]] std::vector<TargetInfo> list_targets(const Parsed& parsed);

/// The parameters of the target that `options` name. `resolved` has what list_base_images() asks for.
/// \throws Error as lower() does.
[[nodiscard]] Outline make_outline(const Parsed& parsed, const ConvertOptions& options,
                                   const ResolvedImages& resolved);

/// What the linter says: of all stages, when `options` name no target.
/// \param unresolved why an image that list_base_images() asked for is not in `resolved`.
[[nodiscard]] LintReport lint(const Parsed& parsed, const ConvertOptions& options,
                              const ResolvedImages& resolved, const std::optional<Error>& unresolved);

}  // namespace cobuild::dockerfile
