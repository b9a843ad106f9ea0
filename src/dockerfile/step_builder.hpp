#pragma once

/// Applies a stage's instructions, one after another, to its state, config and history.

#include <string>
#include <vector>

#include "dockerfile/conversion.hpp"
#include "dockerfile/run_flags.hpp"

namespace cobuild::dockerfile {

class StepBuilder {
 public:
  StepBuilder(Conversion& conversion, StageState& stage) : conversion_(conversion), stage_(stage) {}

  /// Takes over the base, then applies all instructions. \throws Error with the instruction's place.
  void build();

 private:
  void start_from_base();
  void apply(const StageCommand& command);

  void apply_to(const EnvCommand& command);
  void apply_to(const LabelCommand& command);
  void apply_to(const ArgCommand& command);
  void apply_to(const CopyCommand& command);
  void apply_to(const RunCommand& command);
  void apply_to(const CmdCommand& command);
  void apply_to(const EntrypointCommand& command);
  void apply_to(const ShellCommand& command);
  void apply_to(const WorkdirCommand& command);
  void apply_to(const UserCommand& command);
  void apply_to(const MaintainerCommand& command);
  void apply_to(const StopSignalCommand& command);
  void apply_to(const VolumeCommand& command);
  void apply_to(const ExposeCommand& command);
  void apply_to(const OnbuildCommand& command);
  void apply_to(const HealthcheckCommand& command);

  /// The word with its variables replaced; reports those that nobody defined.
  std::string expand(const std::string& word);
  std::vector<std::string> expand(const std::vector<std::string>& words);
  std::vector<KeyValue> expand(const std::vector<KeyValue>& pairs);
  /// For heredocs: quotes stay, the escape is always a backslash.
  std::string expand_document(const std::string& content);
  void report_undefined(std::set<std::string> names);

  void report(Rule rule, std::string message) { report_at(rule, std::move(message), instruction_->lines); }
  void report_at(Rule rule, std::string message, LineRange lines);
  void check_used_once(std::optional<LineRange>& earlier);
  void check_shell_form(const CommandLine& line);

  void commit(std::string created_by, bool has_layer = false) {
    conversion_.commit(stage_, std::move(created_by), has_layer);
  }

  [[nodiscard]] std::vector<std::string> with_shell(const std::vector<std::string>& args) const;
  void enter_directory(const std::string& path);
  [[nodiscard]] const EnvList& env() const { return stage_.state.env; }

  // RUN
  /// What a step is lent: it comes after the other mounts, secrets first.
  struct LentMounts {
    std::vector<ExecNode::Mount> secrets;
    std::vector<ExecNode::Mount> agents;
    bool has_secrets = false;  ///< Of which some may be variables.
  };
  std::vector<std::string> run_args(const RunCommand& command, ExecNode& exec, std::string& name);
  void add_script(const Heredoc& heredoc, const std::string& content, ExecNode& exec);
  void fill_meta(const RunCommand& command, const std::vector<std::string>& args, Node& node,
                 ExecNode& exec) const;
  [[nodiscard]] std::string run_history(const std::vector<std::string>& args) const;
  void name_run(const std::string& text, const std::vector<RunMount>& mounts, Node& node);

  // RUN --mount
  std::vector<RunMount> expand_mounts(const RunCommand& command);
  void add_mounts(const std::vector<RunMount>& mounts, ExecNode& exec, LentMounts& lent);
  ExecNode::Mount file_mount(const RunMount& mount, Node* source);
  Node* cache_directory(const RunMount& mount, Node* base);
  void add_secret(const RunMount& mount, ExecNode& exec, LentMounts& lent);
  void add_agent(const RunMount& mount, LentMounts& lent);
  void append_lent(LentMounts lent, Node& node, ExecNode& exec) const;
  /// The environment, with stars where secrets will be: for names.
  [[nodiscard]] EnvList masked_env(const std::vector<RunMount>& mounts) const;

  // COPY, ADD
  [[nodiscard]] std::string destination_path(const std::string& path) const;
  void add_source(const CopyCommand& command, const std::string& source, Node* tree,
                  const pb::FileActionCopy& common, FileNode& file);
  /// ADD of a URL or of a repository (F1.7.18, F1.7.22); false when `source` is neither.
  bool add_remote_source(const CopyCommand& command, const std::string& source,
                         const std::string& step_name, const pb::FileActionCopy& common, FileNode& file);
  void add_document(const CopyCommand::Document& document, const pb::FileActionCopy& common,
                    FileNode& file);
  void link(Node copy, const std::string& name, const oci::Platform& platform);
  void check_ignored(const CopyCommand& command, const std::string& source);
  Node* inline_document(const std::string& name, int mode, const std::string& content);

  Conversion& conversion_;
  StageState& stage_;
  const Instruction* instruction_ = nullptr;
  StageState* source_ = nullptr;
  const std::vector<StageState*>* mount_sources_ = nullptr;
};

/// The ports that one word of EXPOSE names, as "80/tcp" (F1.8.4). Findings are reported as
/// (rule, message). \throws Error kInvalidInput with BuildKit's message.
[[nodiscard]] std::vector<std::string> parse_ports(const std::string& word,
                                                   std::vector<std::pair<Rule, std::string>>& findings);

/// Whether `signal` is a number or a name that Linux has (F1.8.11).
[[nodiscard]] bool is_signal(const std::string& signal);

/// "user[:group]" for LLB: numbers and root by id, others by name.
[[nodiscard]] pb::ChownOpt parse_owner(const std::string& owner);

/// Sets what --chmod says (F1.7.13). \throws Error kInvalidInput with BuildKit's message.
void set_mode(const std::string& chmod, pb::FileActionCopy& copy);

}  // namespace cobuild::dockerfile
