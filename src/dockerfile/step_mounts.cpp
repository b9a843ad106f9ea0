#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/go_quote.hpp"
#include "dockerfile/step_builder.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr std::uint32_t kSecretMode = 0400;
constexpr std::uint32_t kAgentMode = 0600;
constexpr std::uint32_t kCacheMode = 0755;
constexpr const char* kCacheDirectory = "/cache";

bool has_owner(const RunMount& mount) { return mount.uid || mount.gid || mount.mode; }

/// The options that secrets and agents have in common. Without any of them given, the mode is the
/// default of its kind too.
template <class Options>
void set_file(const RunMount& mount, std::uint32_t default_mode, Options& options) {
  options.set_uid(mount.uid.value_or(0));
  options.set_gid(mount.gid.value_or(0));
  options.set_mode(mount.mode.value_or(default_mode));
  options.set_optional(!mount.required);
}

}  // namespace

std::vector<RunMount> StepBuilder::expand_mounts(const RunCommand& command) {
  std::vector<RunMount> mounts;
  WordExpander const expander = [this](const std::string& word) { return expand(word); };
  for (const std::string& text : command.mounts) mounts.push_back(parse_run_mount(text, expander));
  return mounts;
}

void StepBuilder::add_mounts(const std::vector<RunMount>& mounts, ExecNode& exec, LentMounts& lent) {
  for (std::size_t i = 0; i < mounts.size(); ++i) {
    const RunMount& mount = mounts[i];
    const StageState* const stage = mount_sources_->at(i);
    bool const from_context = mount.from.empty() && mount.type != pb::CACHE;
    Node* source = conversion_.build_context;
    if (!from_context) {
      if (!stage->dispatched) {
        throw Error(ErrorKind::kInvalidInput,
                    "cannot mount from stage " + go_quote(mount.from.empty() ? std::string(kScratchName) : mount.from) +
                        " to " + go_quote(mount.target) +
                        ", stage needs to be defined before current command");
      }
      source = stage->state.tree;
    }
    if (mount.type == pb::SECRET) {
      add_secret(mount, exec, lent);
    } else if (mount.type == pb::SSH) {
      add_agent(mount, lent);
    } else {
      exec.mounts.push_back(file_mount(mount, mount.type == pb::TMPFS ? nullptr : source));
      std::set<std::string>& used = from_context ? stage_.context_paths : *stage->used_paths;
      used.insert(go_path::join("/", mount.source));
    }
  }
}

ExecNode::Mount StepBuilder::file_mount(const RunMount& mount, Node* source) {
  ExecNode::Mount out{.mount = {}, .source = source};
  out.mount.set_mounttype(mount.type);
  out.mount.set_readonly(mount.read_only);
  if (mount.type == pb::TMPFS) out.mount.mutable_tmpfsopt()->set_size(mount.size_bytes);
  if (mount.type == pb::CACHE) {
    pb::CacheOpt& cache = *out.mount.mutable_cacheopt();
    std::string const id = mount.id.empty() ? go_path::clean(mount.target) : mount.id;
    cache.set_id(conversion_.options.cache_mount_namespace + "/" + id);
    cache.set_sharing(mount.sharing.value_or(pb::SHARED));
  }
  std::string target = mount.target;
  if (!go_path::is_absolute(go_path::clean(target))) {
    target = go_path::join(go_path::join("/", stage_.state.directory), target);
  }
  if (target == "/") throw Error(ErrorKind::kInvalidInput, "invalid mount target " + go_quote(target));
  out.mount.set_dest(target);
  std::string const path = go_path::join("/", mount.source);
  if (path != "/") {
    out.mount.set_selector(path);
  } else if (has_owner(mount)) {
    out.source = cache_directory(mount, source);
    out.mount.set_selector(kCacheDirectory);
  }
  return out;
}

/// What a cache mount with an owner or mode starts as (F10.60).
Node* StepBuilder::cache_directory(const RunMount& mount, Node* base) {
  FileNode file{.base = base, .actions = {}};
  pb::FileActionMkDir& mkdir = *file.actions.emplace_back().action.mutable_mkdir();
  mkdir.set_path(kCacheDirectory);
  mkdir.set_mode(static_cast<std::int32_t>(mount.mode.value_or(kCacheMode)));
  mkdir.set_timestamp(-1);
  mkdir.mutable_owner()->mutable_user()->set_byid(mount.uid.value_or(0));
  mkdir.mutable_owner()->mutable_group()->set_byid(mount.gid.value_or(0));
  Node node{.op = std::move(file), .platform = {}, .metadata = {}, .lines = {}};
  add_cap(node, "file.base");
  set_name(node, "[internal] setting cache mount permissions");
  return conversion_.graph.add(std::move(node));
}

void StepBuilder::add_secret(const RunMount& mount, ExecNode& exec, LentMounts& lent) {
  std::string id = mount.source.empty() ? mount.id : mount.source;
  if (id.empty()) id = go_path::base(mount.target);
  lent.has_secrets = true;
  stage_.secrets.push_back({.name = id, .required = mount.required, .lines = instruction_->lines});
  if (mount.env) {
    pb::SecretEnv& variable = *exec.op.add_secretenv();
    variable.set_id(id);
    variable.set_name(*mount.env);
    variable.set_optional(!mount.required);
    if (mount.target.empty()) return;
  }
  ExecNode::Mount& out = lent.secrets.emplace_back();
  out.mount.set_mounttype(pb::SECRET);
  out.mount.set_dest(mount.target.empty() ? "/run/secrets/" + go_path::base(id) : mount.target);
  out.mount.mutable_secretopt()->set_id(id);
  set_file(mount, kSecretMode, *out.mount.mutable_secretopt());
}

void StepBuilder::add_agent(const RunMount& mount, LentMounts& lent) {
  if (!mount.source.empty()) throw Error(ErrorKind::kInvalidInput, "ssh does not support source");
  stage_.ssh.push_back({.name = mount.id.empty() ? "default" : mount.id,
                        .required = mount.required,
                        .lines = instruction_->lines});
  ExecNode::Mount& out = lent.agents.emplace_back();
  out.mount.set_mounttype(pb::SSH);
  out.mount.set_dest(mount.target.empty() ? "/run/buildkit/ssh_agent." + std::to_string(lent.agents.size() - 1)
                                          : mount.target);
  out.mount.mutable_sshopt()->set_id(mount.id);
  set_file(mount, kAgentMode, *out.mount.mutable_sshopt());
}

void StepBuilder::append_lent(LentMounts lent, Node& node, ExecNode& exec) const {
  if (lent.has_secrets) add_cap(node, "exec.mount.secret");
  if (!exec.op.secretenv().empty()) add_cap(node, "exec.secretenv");
  if (!lent.agents.empty()) {
    add_cap(node, "exec.mount.ssh");
    if (env().find("SSH_AUTH_SOCK") == nullptr) {
      exec.op.mutable_meta()->add_env("SSH_AUTH_SOCK=" + lent.agents[0].mount.dest());
    }
  }
  std::ranges::move(lent.secrets, std::back_inserter(exec.mounts));
  std::ranges::move(lent.agents, std::back_inserter(exec.mounts));
}

EnvList StepBuilder::masked_env(const std::vector<RunMount>& mounts) const {
  EnvList masked = env();
  for (const RunMount& mount : mounts) {
    if (mount.type == pb::SECRET && mount.env) masked.set(*mount.env, "****");
  }
  return masked;
}

}  // namespace cobuild::dockerfile
