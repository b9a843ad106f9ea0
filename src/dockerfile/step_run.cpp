#include <algorithm>
#include <map>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/rune.hpp"
#include "dockerfile/step_builder.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

/// " (first line...)": what a heredoc is about, for progress.
std::string summarize(std::string_view content) {
  std::string_view const text = trim_space(content);
  std::size_t const end = text.find('\n');
  std::string_view line = text.substr(0, end);
  if (end != std::string_view::npos && line.ends_with('\r')) line.remove_suffix(1);
  return " (" + std::string(line) + (end == std::string_view::npos ? "" : "...") + ")";
}

ExecNode::Mount root_mount(Node* tree) {
  ExecNode::Mount mount{.mount = {}, .source = tree, .has_output = true};
  mount.mount.set_dest("/");
  return mount;
}

/// Those of one destination keep their order: the last one counts.
void sort_by_destination(std::vector<ExecNode::Mount>& mounts) {
  for (std::size_t i = 1; i < mounts.size(); ++i) {
    auto const current = mounts.begin() + static_cast<std::ptrdiff_t>(i);
    auto const place = std::upper_bound(mounts.begin(), current, current->mount.dest(),
                                        [](const std::string& dest, const ExecNode::Mount& other) {
                                          return dest < other.mount.dest();
                                        });
    std::rotate(place, current, current + 1);
  }
}

void add_caps_of_mounts(const ExecNode& exec, Node& node) {
  for (const auto& mount : exec.mounts) {
    if (!mount.mount.selector().empty()) add_cap(node, "exec.mount.selector");
    if (mount.mount.mounttype() == pb::CACHE) {
      add_cap(node, "exec.mount.cache");
      add_cap(node, "exec.mount.cache.sharing");
    } else if (mount.mount.mounttype() == pb::TMPFS) {
      add_cap(node, "exec.mount.tmpfs");
      if (mount.mount.tmpfsopt().size() > 0) add_cap(node, "exec.mount.tmpfs.size");
    } else if (mount.source != nullptr) {
      add_cap(node, "exec.mount.bind");
    }
  }
}

}  // namespace

void StepBuilder::apply_to(const RunCommand& command) {
  auto const mounts = expand_mounts(command);
  stage_.used_paths->insert("/");
  ExecNode exec;
  exec.mounts.push_back(root_mount(stage_.state.tree));
  std::string name = instruction_->code;
  auto const args = run_args(command, exec, name);
  if (args.empty()) {
    throw Error(ErrorKind::kInvalidInput, "RUN [] names no command: arguments are required");
  }
  LentMounts lent;
  add_mounts(mounts, exec, lent);
  if (conversion_.options.shm_size_bytes > 0) {
    ExecNode::Mount shm;
    shm.mount.set_dest("/dev/shm");
    shm.mount.set_mounttype(pb::TMPFS);
    shm.mount.mutable_tmpfsopt()->set_size(conversion_.options.shm_size_bytes);
    exec.mounts.push_back(std::move(shm));
  }
  sort_by_destination(exec.mounts);

  Node node{.op = {}, .platform = stage_.state.platform, .metadata = {}, .lines = instruction_->lines};
  fill_meta(command, args, node, exec);
  add_caps_of_mounts(exec, node);
  append_lent(std::move(lent), node, exec);
  set_command(node, instruction_->code);
  name_run(name, mounts, node);
  if (stage_.ignore_cache) node.metadata.set_ignore_cache(true);
  node.op = std::move(exec);
  commit("RUN " + run_history(args) + " # buildkit", true);
  stage_.state.tree = conversion_.graph.add(std::move(node));
}

void StepBuilder::name_run(const std::string& text, const std::vector<RunMount>& mounts, Node& node) {
  WordOptions words = conversion_.words;
  words.raw_quotes = true;
  words.skip_unset = true;
  std::optional<oci::Platform> platform;
  if (stage_.state.platform) platform = to_oci(*stage_.state.platform);
  set_name(node, step_name(conversion_, stage_, describe(text, masked_env(mounts), words),
                           platform ? &*platform : nullptr, env()));
}

/// The command line; heredocs become its text, or a file (F1.2.10 to F1.2.12).
std::vector<std::string> StepBuilder::run_args(const RunCommand& command, ExecNode& exec,
                                               std::string& name) {
  std::vector<std::string> args = command.line.args;
  const auto& heredocs = command.line.heredocs;
  if (!heredocs.empty() && !args.empty()) {
    if (try_parse_heredoc_marker(args[0])) {
      const Heredoc& heredoc = heredocs[0];
      std::string const content = heredoc.chomp ? chomp_tabs(heredoc.content) : heredoc.content;
      if (stage_.image.platform.os != "windows" && content.starts_with("#!")) {
        add_script(heredoc, content, exec);
        args = {go_path::join("/dev/pipes/", heredoc.name)};
      } else {
        args = {content};
      }
      name += summarize(heredoc.content);
    } else {
      for (const Heredoc& heredoc : heredocs) args[0] += "\n" + heredoc.content + heredoc.name;
    }
  }
  return command.line.is_shell_form ? with_shell(args) : args;
}

void StepBuilder::add_script(const Heredoc& heredoc, const std::string& content, ExecNode& exec) {
  ExecNode::Mount mount;
  mount.mount.set_dest("/dev/pipes/");
  mount.mount.set_selector("/");
  mount.mount.set_readonly(true);
  mount.source = inline_document(heredoc.name, 0755, content);
  exec.mounts.push_back(std::move(mount));
}

Node* StepBuilder::inline_document(const std::string& name, int mode, const std::string& content) {
  FileNode file;
  pb::FileActionMkFile& mkfile = *file.actions.emplace_back().action.mutable_mkfile();
  mkfile.set_path(go_path::join("/", name));
  mkfile.set_mode(mode);
  mkfile.set_data(content);
  mkfile.set_timestamp(-1);
  Node node{.op = std::move(file), .platform = {}, .metadata = {}, .lines = {}};
  add_cap(node, "file.base");
  set_name(node, "[internal] preparing inline document");
  return conversion_.graph.add(std::move(node));
}

void StepBuilder::fill_meta(const RunCommand& command, const std::vector<std::string>& args, Node& node,
                            ExecNode& exec) const {
  const ConvertOptions& options = conversion_.options;
  pb::Meta& meta = *exec.op.mutable_meta();
  for (const std::string& arg : args) meta.add_args(arg);
  for (const std::string& variable : env().to_strings()) meta.add_env(variable);
  meta.set_cwd(stage_.state.directory);
  meta.set_user(stage_.state.user);
  meta.set_hostname(stage_.state.hostname);
  meta.set_cgroupparent(options.cgroup_parent);
  meta.set_removemountstubsrecursive(true);
  for (const pb::HostIP& host : options.extra_hosts) *meta.add_extrahosts() = host;
  for (const pb::Ulimit& limit : options.ulimits) *meta.add_ulimit() = limit;
  if (!options.ulimits.empty()) add_cap(node, "exec.meta.ulimit");
  if (conversion_.proxy) {
    *meta.mutable_proxy_env() = *conversion_.proxy;
    add_cap(node, "exec.meta.proxyenv");
  }
  if (options.linux_resources) {
    *node.metadata.mutable_linux_resources() = *options.linux_resources;
    add_cap(node, "exec.meta.linux.resources");
  }
  exec.op.set_network(command.network_given ? command.network : stage_.state.network);
  if (exec.op.network() != pb::UNSET) add_cap(node, "exec.meta.network");
  exec.op.set_security(command.security);
  if (command.security == pb::INSECURE) add_cap(node, "exec.meta.security");
  for (const RunDevice& device : command.devices) {
    pb::CDIDevice& wanted = *exec.op.add_cdidevices();
    wanted.set_name(device.name);
    wanted.set_optional(!device.required);
  }
  if (!command.devices.empty()) add_cap(node, "exec.meta.cdi");
  add_cap(node, "exec.meta.base");
  add_cap(node, "exec.meta.setsdefaultpath");
}

/// "|2 a=1 b= /bin/sh -c true": the declared ARGs with what they are now.
std::string StepBuilder::run_history(const std::vector<std::string>& args) const {
  std::vector<std::string> words;
  std::map<std::string, std::size_t> index;
  for (const ArgCommand::Arg& arg : stage_.build_args) {
    const std::string* const value = env().find(arg.key);
    std::string text = arg.key + "=" + (value != nullptr ? *value : arg.value.value_or(""));
    auto const [known, is_new] = index.emplace(arg.key, words.size());
    if (is_new) {
      words.push_back(std::move(text));
    } else {
      words[known->second] = std::move(text);
    }
  }
  std::string prefix = words.empty() ? "" : "|" + std::to_string(words.size()) + " ";
  words.insert(words.end(), args.begin(), args.end());
  return prefix + join(words, " ");
}

}  // namespace cobuild::dockerfile
