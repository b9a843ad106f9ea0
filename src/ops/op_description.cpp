#include "ops/op_description.hpp"

#include <algorithm>
#include <string_view>

#include "ops/op_digest.hpp"

namespace cobuild::ops {
namespace {

using solve::OpDescription;

/// Tells values apart without telling them.
std::string short_digest(std::string_view value) {
  return Digest::of(value).hex().substr(0, 8);
}

std::string octal(std::uint32_t mode) {
  std::string digits;
  for (; mode > 0; mode >>= 3) digits.insert(digits.begin(), static_cast<char>('0' + (mode & 7)));
  return "0" + digits;
}

void append_option(std::string& text, std::string_view name, const std::string& value) {
  if (!value.empty()) text += "," + std::string(name) + "=" + value;
}

template <class Lent>
void append_lent(std::string& text, const Lent& lent) {
  append_option(text, "id", lent.id());
  text += ",mode=" + octal(lent.mode());
  if (lent.uid() != 0) append_option(text, "uid", std::to_string(lent.uid()));
  if (lent.gid() != 0) append_option(text, "gid", std::to_string(lent.gid()));
  if (!lent.optional()) text += ",required";
}

/// `mount` as it is written, `key` as it counts.
std::string describe_mount(const pb::Mount& mount, const pb::Mount& key) {
  std::string text;
  switch (mount.mounttype()) {
    case pb::SECRET:
      text = "type=secret";
      append_lent(text, mount.secretopt());
      break;
    case pb::SSH:
      text = "type=ssh";
      append_lent(text, mount.sshopt());
      break;
    case pb::TMPFS:
      text = "type=tmpfs";
      if (mount.tmpfsopt().size() > 0) append_option(text, "size", std::to_string(mount.tmpfsopt().size()));
      break;
    case pb::CACHE:
      text = "type=cache";
      append_option(text, "id", key.cacheopt().id());
      if (key.cacheopt().sharing() == pb::PRIVATE) text += ",sharing=private";
      if (key.cacheopt().sharing() == pb::LOCKED) text += ",sharing=locked";
      append_option(text, "source", mount.selector());
      break;
    default:
      text = "type=bind";
      append_option(text, "source", mount.selector());
      break;
  }
  if (mount.readonly()) text += ",readonly";
  if (mount.contentcache() != pb::DEFAULT) {
    text += mount.contentcache() == pb::ON ? ",content-cache=on" : ",content-cache=off";
  }
  return text;
}

void set(OpDescription& what, const std::string& name, std::string value) {
  if (!value.empty()) what.settings[name] = std::move(value);
}

void describe_limits(const pb::ExecOp& op, OpDescription& what) {
  for (const pb::HostIP& host : op.meta().extrahosts()) what.settings["host " + host.host()] = "set";
  for (const pb::Ulimit& limit : op.meta().ulimit()) {
    what.settings["ulimit " + limit.name()] =
        std::to_string(limit.soft()) + ":" + std::to_string(limit.hard());
  }
  for (const pb::CDIDevice& device : op.cdidevices()) {
    what.settings["device " + device.name()] = device.optional() ? "optional" : "required";
  }
  for (const std::int32_t code : op.meta().validexitcodes()) {
    what.settings["exit code " + std::to_string(code)] = "good";
  }
  set(what, "parent cgroup", op.meta().cgroupparent());
  set(what, "host name", op.meta().hostname());
}

OpDescription describe_exec(const pb::ExecOp& op, const pb::Platform& platform) {
  pb::ExecOp const key = without_incidentals(op);
  OpDescription what;
  what.kind = "exec";
  what.arguments.assign(op.meta().args().begin(), op.meta().args().end());
  for (const std::string& variable : op.meta().env()) {
    std::size_t const equals = std::min(variable.find('='), variable.size());
    what.variables[variable.substr(0, equals)] = short_digest(std::string_view(variable).substr(equals));
  }
  for (int i = 0; i < key.mounts_size(); ++i) {  // none for a plain RUN
    std::string text = describe_mount(op.mounts(i), key.mounts(i));
    bool const is_plain_root = op.mounts(i).dest() == "/" && text == "type=bind";
    if (!is_plain_root) what.mounts[op.mounts(i).dest()] = std::move(text);
  }
  for (const pb::SecretEnv& secret : op.secretenv()) {
    what.mounts["$" + secret.name()] =
        "type=secret,id=" + secret.id() + (secret.optional() ? "" : ",required");
  }
  set(what, "working directory", op.meta().cwd());
  set(what, "user", op.meta().user());
  set(what, "platform", platform_text(platform));
  set(what, "network", op.network() == pb::HOST ? "host" : op.network() == pb::NONE ? "none" : "");
  set(what, "security", op.security() == pb::INSECURE ? "insecure" : "");
  describe_limits(op, what);
  return what;
}

std::string user_text(const pb::UserOpt& user) {
  if (user.has_byname()) return user.byname().name();
  return std::to_string(user.byid());
}

void append_owner(std::string& text, bool has_owner, const pb::ChownOpt& owner) {
  if (!has_owner) return;
  text += " --chown=" + (owner.has_user() ? user_text(owner.user()) : std::string()) + ":" +
          (owner.has_group() ? user_text(owner.group()) : std::string());
}

void append_time(std::string& text, std::int64_t timestamp) {
  if (timestamp != -1) text += " time=" + std::to_string(timestamp);
}

std::string describe_copy(const pb::FileActionCopy& copy) {
  std::string text = "copy " + copy.src() + " " + copy.dest();
  append_owner(text, copy.has_owner(), copy.owner());
  if (!copy.modestr().empty()) text += " --chmod=" + copy.modestr();
  if (copy.modestr().empty() && copy.mode() >= 0) {
    text += " --chmod=" + octal(static_cast<std::uint32_t>(copy.mode()));
  }
  for (const std::string& pattern : copy.include_patterns()) text += " --include=" + pattern;
  for (const std::string& pattern : copy.exclude_patterns()) text += " --exclude=" + pattern;
  if (copy.attemptunpackdockercompatibility()) text += " --unpack";
  append_time(text, copy.timestamp());
  return text;
}

std::string describe_action(const pb::FileAction& action) {
  std::string text;
  switch (action.action_case()) {
    case pb::FileAction::kCopy: return describe_copy(action.copy());
    case pb::FileAction::kMkdir:
      text = "mkdir " + action.mkdir().path() + " " +
             octal(static_cast<std::uint32_t>(action.mkdir().mode()));
      append_owner(text, action.mkdir().has_owner(), action.mkdir().owner());
      append_time(text, action.mkdir().timestamp());
      break;
    case pb::FileAction::kMkfile:
      // What a heredoc says may be anybody's secret.
      text = "write " + action.mkfile().path() + " " +
             octal(static_cast<std::uint32_t>(action.mkfile().mode())) + " content " +
             short_digest(action.mkfile().data());
      append_owner(text, action.mkfile().has_owner(), action.mkfile().owner());
      append_time(text, action.mkfile().timestamp());
      break;
    case pb::FileAction::kSymlink:
      text = "link " + action.symlink().newpath() + " to " + action.symlink().oldpath();
      append_owner(text, action.symlink().has_owner(), action.symlink().owner());
      append_time(text, action.symlink().timestamp());
      break;
    case pb::FileAction::kRm: text = "remove " + action.rm().path(); break;
    case pb::FileAction::ACTION_NOT_SET: break;
  }
  return text;
}

}  // namespace

std::string platform_text(const pb::Platform& platform) {
  std::string text = platform.os() + "/" + platform.architecture();
  if (!platform.variant().empty()) text += "/" + platform.variant();
  if (!platform.osversion().empty()) text += " " + platform.osversion();
  return text;
}

OpDescription describe(const llb::Vertex& vertex) {
  const pb::Op& op = vertex.op;
  OpDescription what;
  switch (op.op_case()) {
    case pb::Op::kExec: return describe_exec(op.exec(), op.platform());
    case pb::Op::kFile:
      what.kind = "file";
      for (const pb::FileAction& action : op.file().actions()) {
        what.arguments.push_back(describe_action(action));
      }
      break;
    case pb::Op::kMerge: what.kind = "merge"; break;
    case pb::Op::kDiff: what.kind = "diff"; break;
    default: what.kind = "other"; break;
  }
  return what;
}

}  // namespace cobuild::ops
