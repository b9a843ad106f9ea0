#pragma once

/// What one conversion of a Dockerfile to LLB works on: the stages with their state, and what all of
/// them share.

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/go_time.hpp"
#include "core/base/path_pattern.hpp"
#include "dockerfile/frontend.hpp"
#include "dockerfile/graph.hpp"
#include "dockerfile/lint.hpp"
#include "dockerfile/parsed_file.hpp"
#include "dockerfile/requests.hpp"
#include "dockerfile/shell_words.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/platform.hpp"

namespace cobuild::dockerfile {

inline constexpr std::string_view kScratchName = "scratch";
inline constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

struct StageState;

/// An instruction of a stage, with the stages that it takes files from.
struct StageCommand {
  const Instruction* instruction = nullptr;
  StageState* source = nullptr;  ///< Of COPY --from.
  std::vector<StageState*> mount_sources;  ///< One for each RUN --mount: scratch without a `from`.
  bool is_trigger = false;       ///< From an ONBUILD of the base.
};

/// An ARG of a stage, for the outline.
struct DeclaredArg {
  OutlineArg outline;
  bool is_global_default = false;  ///< It has no value but that of the global ARG.
};

/// A global ARG, for the outline.
struct GlobalArgInfo {
  OutlineArg outline;
  std::set<std::string> needs;  ///< Variables in its value.
};

/// History is a list that stages share the beginning of: an index into Conversion::history.
struct HistoryLink {
  int previous = -1;
  oci::History entry;
};

/// A stage, or an image that a COPY --from names: then it is `unregistered` and has no instructions.
struct StageState {
  const Stage* parsed = nullptr;  ///< Null when unregistered.
  std::string name;               ///< In lower case; empty: none.
  std::string display_name;       ///< name, "stage-N", or "" when it is the only one.
  std::string base_name;          ///< Expanded; once resolved, normalised and with its digest.
  LineRange lines;
  bool unregistered = false;
  /// A named context has its name: its instructions count for nothing (F1.10.18).
  bool without_instructions = false;
  bool is_replaced = false;  ///< And the context is no other stage.

  StageState* base = nullptr;  ///< The earlier stage that it starts from; null for images and scratch.
  std::vector<StageCommand> commands;
  std::vector<std::pair<StageState*, const Instruction*>> dependencies;

  bool resolved = false;
  bool dispatched = false;
  bool triggers_read = false;

  State state;
  oci::ImageConfig image;  ///< Without history.
  std::unordered_map<std::string, std::size_t> env_index;  ///< Where in image.config.env a key is;
  std::size_t env_indexed = 0;                             ///< as far as it was looked at.
  int history = -1;
  std::optional<std::string> base_image_config;
  std::optional<oci::Platform> platform;

  std::vector<ArgCommand::Arg> build_args;  ///< Declared so far, by parents too.
  std::vector<DeclaredArg> declared_args;   ///< By itself.
  std::vector<OutlineMount> secrets;
  std::vector<OutlineMount> ssh;
  std::set<std::string> context_paths;      ///< Absolute.
  /// What is used of the stage's tree, absolute: shared with the stages that start from it.
  std::shared_ptr<std::set<std::string>> used_paths = std::make_shared<std::set<std::string>>();
  bool ignore_cache = false;
  bool workdir_set = false;
  std::optional<LineRange> cmd_lines;
  std::optional<LineRange> entrypoint_lines;
  std::optional<LineRange> healthcheck_lines;

  int step_count = 0;  ///< That progress numbers.
  int step_index = 0;
  bool in_trigger = false;
};

/// A directory of the user's that a named context is. Its node gets its content at the end.
struct LocalContext {
  Node* node = nullptr;
  std::string directory;  ///< Its name on the command line.
  std::string label;      ///< \see NamedContext::label.
  std::vector<std::string> excludes;
  std::shared_ptr<const std::set<std::string>> paths;
};

/// All stages, in the order of the file, then the images that COPY names.
class StageList {
 public:
  StageState& add(std::unique_ptr<StageState> stage);
  [[nodiscard]] StageState* find(std::string_view name) const;  ///< Case does not count.
  [[nodiscard]] StageState* at(long long index) const;          ///< nullptr when out of range.
  [[nodiscard]] std::size_t size() const noexcept { return stages_.size(); }
  [[nodiscard]] std::vector<std::string> names() const;
  [[nodiscard]] const std::vector<std::unique_ptr<StageState>>& all() const noexcept { return stages_; }

 private:
  std::vector<std::unique_ptr<StageState>> stages_;
  std::map<std::string, StageState*, std::less<>> by_name_;
};

struct Conversion {
  /// `warnings` gets what the linter finds.
  Conversion(const ParsedFile& file, const ConvertOptions& options, std::vector<Warning>& warnings);

  const ParsedFile& file;
  const ConvertOptions& options;
  std::map<std::string, std::string> build_args;
  WordOptions words;  ///< Of this file: its escape character.
  oci::Platform target_platform;
  oci::Platform build_platform;
  bool implicit_target = false;  ///< No platform was asked for.
  EnvList global_args;
  std::set<std::string> declared_global_args;
  std::map<std::string, GlobalArgInfo> global_arg_infos;
  std::optional<Timestamp> epoch;
  std::optional<pb::ProxyEnv> proxy;
  PatternSet ignore;
  Linter linter;
  Graph graph;
  Node* build_context = nullptr;
  std::vector<LocalContext> local_contexts;
  StageList stages;
  std::vector<HistoryLink> history;
  std::deque<Instruction> trigger_instructions;  ///< What StageCommands of triggers point to.
  int link_count = 0;

  [[nodiscard]] SourceSpan span(LineRange lines) const { return file.span(lines); }

  /// Adds to the stage's history. "# buildkit" marks steps that made a layer.
  void commit(StageState& stage, std::string created_by, bool has_layer);
};

/// The file's `# check=`, or what the options say instead. \throws Error kInvalidInput
[[nodiscard]] LintConfig lint_config(const ParsedFile& file, const ConvertOptions& options);

/// Sets conversion.global_args from the ARGs before the first FROM (F1.5.1, F1.5.14).
void read_global_args(Conversion& conversion);

/// The build arg or the global ARG SOURCE_DATE_EPOCH; nullopt when there is none.
[[nodiscard]] std::optional<std::string> written_epoch(const Conversion& conversion);

/// Sets conversion.epoch; in the args, too, the number takes the place of what was written (F1.5.25,
/// F1.5.28). After read_global_args(). \throws Error kInvalidInput
void set_epoch(Conversion& conversion);

/// Reports what the linter objects to in the names of stages and instructions.
void check_names(Conversion& conversion);

/// Makes the stages, ties copies to their sources, and finds the target. \throws Error with its place.
[[nodiscard]] StageState& build_stages(Conversion& conversion);

/// The stages that `target` needs, itself included; all but scratch and images of the file's order.
[[nodiscard]] std::set<const StageState*> reachable_stages(const StageState& target);

/// Ties an instruction to the stages that it takes files from, which may be made for it.
[[nodiscard]] StageCommand bind_command(Conversion& conversion, StageState& stage,
                                        const Instruction& instruction, bool is_trigger);

/// Gives the stages that `target` needs their bases, as far as `images` has them; returns what it
/// lacks. When nothing is lacking, everything is resolved and the ONBUILD triggers are in place.
[[nodiscard]] std::vector<ImageRequest> resolve_bases(Conversion& conversion, StageState& target,
                                                      const ResolvedImages& images);

/// The stage takes over what its base stage has come to.
void inherit(StageState& stage);

/// "[name 2/5] RUN x" (F1.4.20); counts the stage's step.
[[nodiscard]] std::string step_name(const Conversion& conversion, StageState& stage, std::string text,
                                    const oci::Platform* platform, const EnvList& env);

/// `code` for people: variables expanded, keyword in upper case; as it is when it cannot be expanded.
[[nodiscard]] std::string describe(const std::string& code, const EnvList& env,
                                   const WordOptions& options);

[[nodiscard]] pb::Platform to_pb(const oci::Platform& platform);
[[nodiscard]] oci::Platform to_oci(const pb::Platform& platform);

/// Relative and sorted, for local sources; empty when everything is needed.
[[nodiscard]] std::vector<std::string> relative_paths(const std::set<std::string>& paths);

}  // namespace cobuild::dockerfile
