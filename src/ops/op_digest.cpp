#include "ops/op_digest.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>

#include <algorithm>
#include <map>
#include <set>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "ops/go_json.hpp"

namespace cobuild::ops {

namespace {

[[nodiscard]] std::string join_zero(const std::vector<std::string>& parts) {
  std::string joined;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i > 0) joined += '\0';
    joined += parts[i];
  }
  return joined;
}

/// {"Type":TYPE,NAME:MESSAGE}
[[nodiscard]] Digest tagged_digest(std::string_view type, std::string_view name,
                                   const google::protobuf::Message& message) {
  std::string json = "{\"Type\":";
  append_go_json_string(json, type);
  json += ',';
  append_go_json_string(json, name);
  json += ':';
  append_go_json(json, message);
  json += '}';
  return Digest::of(json);
}

void append_string_field(std::string& json, std::string_view name, std::string_view value) {
  if (!json.ends_with('{')) json += ',';
  append_go_json_string(json, name);
  json += ':';
  append_go_json_string(json, value);
}

/// What the structs of BuildKit have in common: OS, Arch, and what is omitted when empty.
void append_platform(std::string& json, const pb::Platform& platform) {
  append_string_field(json, "OS", platform.os());
  append_string_field(json, "Arch", platform.architecture());
  if (!platform.variant().empty()) append_string_field(json, "Variant", platform.variant());
  if (!platform.osversion().empty()) append_string_field(json, "OSVersion", platform.osversion());
  if (platform.osfeatures_size() == 0) return;
  json += ",\"OSFeatures\":[";
  for (int i = 0; i < platform.osfeatures_size(); ++i) {
    if (i > 0) json += ',';
    append_go_json_string(json, platform.osfeatures(i));
  }
  json += ']';
}

/// A key with plain dependencies.
[[nodiscard]] OpKey plain_key(const Digest& op, const llb::Vertex& vertex) {
  OpKey key{.map = {.op = op, .dependencies = {}}, .selectors = {}};
  key.map.dependencies.resize(vertex.inputs.size());
  key.selectors.resize(vertex.inputs.size());
  return key;
}

// ---- exec

/// The ids of default cache mounts are part of a digest, those that a user chose are not.
[[nodiscard]] bool has_default_cache_id(const pb::Mount& mount) {
  const pb::CacheOpt& cache = mount.cacheopt();
  if (cache.sharing() != pb::SHARED) return false;
  if (cache.id() == mount.dest()) return true;
  std::size_t const slash = cache.id().find('/');
  return slash != std::string::npos && cache.id().substr(slash + 1) == mount.dest();
}

/// Whether what a mount shows may stand for its whole input. Where a changed mount goes on to later
/// steps, files outside of the selected path go with it, unseen.
[[nodiscard]] bool is_content_cached(const pb::Mount& mount, std::string_view selected) {
  bool const safe = mount.output() == -1 || mount.readonly() || selected == "/";
  switch (mount.contentcache()) {
    case pb::OFF: return false;
    case pb::ON:
      if (!safe) {
        throw Error(ErrorKind::kInvalidInput, "invalid mount cache content " + mount.dest());
      }
      return true;
    default: return safe && mount.dest() != "/";
  }
}

/// Without those below another one, sorted.
[[nodiscard]] std::vector<std::string> without_children(const std::vector<std::string>& paths) {
  if (paths.size() <= 1) return paths;
  std::set<std::string> const all(paths.begin(), paths.end());
  std::vector<std::string> kept;
  for (const std::string& path : all) {
    bool const below = std::any_of(all.begin(), all.end(), [&path](const std::string& other) {
      return other != path && path.starts_with(other.ends_with('/') ? other : other + "/");
    });
    if (!below) kept.push_back(path);
  }
  return kept;
}

[[nodiscard]] std::vector<ContentSelector> mount_selectors(const std::vector<std::string>& paths) {
  std::vector<ContentSelector> selectors;
  for (const std::string& path : without_children(paths)) {
    if (path.empty() || path == "/") return {};
    ContentSelector selector;
    selector.path = path;
    selector.follow_links = true;
    selectors.push_back(std::move(selector));
  }
  return selectors;
}

[[nodiscard]] OpKey exec_key(const llb::Vertex& vertex) {
  const pb::ExecOp& op = vertex.op.exec();
  std::string json = "{\"Type\":\"buildkit.exec.v0\",\"Exec\":";
  append_go_json(json, without_incidentals(op));
  append_platform(json, vertex.op.has_platform() ? vertex.op.platform() : llb::host_platform());
  json += '}';
  OpKey key = plain_key(Digest::of(json), vertex);

  std::vector<std::vector<std::string>> paths(vertex.inputs.size());
  for (const pb::Mount& mount : op.mounts()) {
    bool const has_no_input = mount.mounttype() == pb::SECRET || mount.mounttype() == pb::SSH ||
                              mount.mounttype() == pb::TMPFS || mount.input() == -1;
    if (has_no_input) continue;
    if (mount.input() < 0 || mount.input() >= static_cast<std::int64_t>(paths.size())) {
      throw Error(ErrorKind::kInvalidInput,
                  "invalid mountinput " + std::to_string(mount.input()) + " of " + mount.dest());
    }
    auto const index = static_cast<std::size_t>(mount.input());
    paths[index].push_back(go_path::join("/", mount.selector()));
    key.map.dependencies[index].content_keyed = is_content_cached(mount, paths[index].back());
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!paths[i].empty()) key.map.dependencies[i].selector = Digest::of(join_zero(paths[i]));
    if (key.map.dependencies[i].content_keyed) key.selectors[i] = mount_selectors(paths[i]);
  }
  return key;
}

// ---- file

using SelectorsByInput = std::map<std::int64_t, std::vector<ContentSelector>>;

void select_user_file(const pb::UserOpt& user, std::string_view file, SelectorsByInput& selectors) {
  // A negative index is an error of the op, reported when it runs.
  if (!user.has_byname() || user.byname().input() < 0) return;
  ContentSelector selector;
  selector.path = file;
  selector.follow_links = true;
  selectors[user.byname().input()].push_back(std::move(selector));
}

void select_owner_files(const pb::ChownOpt& owner, SelectorsByInput& selectors) {
  // A bad user ends it, as it does in BuildKit.
  if (owner.user().has_byname() && owner.user().byname().input() < 0) return;
  select_user_file(owner.user(), "/etc/passwd", selectors);
  select_user_file(owner.group(), "/etc/group", selectors);
}

[[nodiscard]] ContentSelector copy_selector(const pb::FileActionCopy& copy) {
  ContentSelector selector;
  selector.path = copy.src();
  selector.wildcard = copy.allowwildcard() && contains_wildcards(copy.src());
  selector.follow_links = copy.followsymlink();
  selector.include_patterns.assign(copy.include_patterns().begin(), copy.include_patterns().end());
  selector.exclude_patterns.assign(copy.exclude_patterns().begin(), copy.exclude_patterns().end());
  selector.required_paths.assign(copy.required_paths().begin(), copy.required_paths().end());
  return selector;
}

/// The JSON of one action; notes what it reads.
[[nodiscard]] std::string action_json(const pb::FileAction& action, std::size_t input_count,
                                      SelectorsByInput& selectors) {
  std::string json;
  switch (action.action_case()) {
    case pb::FileAction::kMkdir:
      select_owner_files(action.mkdir().owner(), selectors);
      append_go_json(json, action.mkdir());
      break;
    case pb::FileAction::kMkfile:
      select_owner_files(action.mkfile().owner(), selectors);
      append_go_json(json, action.mkfile());
      break;
    case pb::FileAction::kSymlink: append_go_json(json, action.symlink()); break;
    case pb::FileAction::kRm: append_go_json(json, action.rm()); break;
    case pb::FileAction::kCopy: {
      pb::FileActionCopy copy = action.copy();
      select_owner_files(copy.owner(), selectors);
      std::int64_t const source = action.secondaryinput();
      if (source != -1 && source < static_cast<std::int64_t>(input_count)) {
        selectors[source].push_back(copy_selector(copy));
        copy.set_src(go_path::base(copy.src()));  // where the source lies does not matter
      }
      append_go_json(json, copy);
      break;
    }
    case pb::FileAction::ACTION_NOT_SET: break;
  }
  return json;
}

/// Whether the actions are a plain chain: then their indexes are left out of the digest, as they
/// were in old versions.
[[nodiscard]] bool has_default_indexes(const pb::FileOp& op) {
  int const count = op.actions_size();
  for (int i = 0; i < count; ++i) {
    const pb::FileAction& action = op.actions(i);
    std::int64_t const input = i == 0 ? 0 : count + i - 1;
    if (action.input() != input) return false;
    if (action.secondaryinput() != -1 && action.secondaryinput() != 1) return false;
    if (action.output() != (i == count - 1 ? 0 : -1)) return false;
  }
  return count > 0;
}

/// Go's base64 of an action's JSON, in quotes: bytes within JSON.
void append_bytes(std::string& json, const std::string& bytes) {
  // SourceInfo.data is a bytes field, and its rendering is the one that is needed.
  pb::SourceInfo carrier;
  carrier.set_data(bytes);
  std::string rendered;
  append_go_json(rendered, carrier);
  std::string_view const prefix = "{\"data\":";
  json += bytes.empty() ? std::string("null")
                        : rendered.substr(prefix.size(), rendered.size() - prefix.size() - 1);
}

/// One selector for each path, those without patterns reduced to the topmost, in order of path.
[[nodiscard]] std::vector<ContentSelector> deduplicated(const std::vector<ContentSelector>& all) {
  std::vector<std::string> plain;
  std::vector<std::string> followed;
  for (const ContentSelector& selector : all) {
    if (selector.has_wildcard_or_filters()) continue;
    (selector.follow_links ? followed : plain).push_back(selector.path);
  }
  std::vector<ContentSelector> result;
  auto add = [&result](const std::vector<std::string>& paths, bool follow_links) {
    for (const std::string& path : without_children(paths)) {
      ContentSelector selector;
      selector.path = path;
      selector.follow_links = follow_links;
      result.push_back(std::move(selector));
    }
  };
  add(plain, false);
  add(followed, true);
  for (const ContentSelector& selector : all) {
    if (selector.has_wildcard_or_filters()) result.push_back(selector);
  }
  // Insertion, so that equal paths keep their order: std::stable_sort warns on this library.
  for (auto at = result.begin(); at != result.end(); ++at) {
    auto const by_path = [](const ContentSelector& a, const ContentSelector& b) {
      return a.path < b.path;
    };
    std::rotate(std::upper_bound(result.begin(), at, *at, by_path), at, std::next(at));
  }
  return result;
}

[[nodiscard]] Digest paths_selector(const std::vector<ContentSelector>& selectors) {
  std::vector<std::string> paths;
  for (const ContentSelector& selector : selectors) paths.push_back(selector.path);
  std::sort(paths.rbegin(), paths.rend());
  return Digest::of(join_zero(paths));
}

[[nodiscard]] OpKey file_key(const llb::Vertex& vertex) {
  const pb::FileOp& op = vertex.op.file();
  SelectorsByInput selectors;
  std::set<std::int64_t> changed;  // inputs that are worked on: all of them counts, not a part
  std::string json = "{\"Type\":\"buildkit.file.v0\",\"Actions\":[";
  std::string indexes;
  for (int i = 0; i < op.actions_size(); ++i) {
    const pb::FileAction& action = op.actions(i);
    if (action.input() != -1) changed.insert(action.input());
    if (i > 0) json += ',';
    append_bytes(json, action_json(action, vertex.inputs.size(), selectors));
    indexes += (i > 0 ? ",[" : "[") + std::to_string(action.input()) + "," +
               std::to_string(action.secondaryinput()) + "," + std::to_string(action.output()) +
               "]";
  }
  json += ']';
  if (!has_default_indexes(op) && !indexes.empty()) json += ",\"indexes\":[" + indexes + "]";
  json += '}';

  OpKey key = plain_key(Digest::of(json), vertex);
  for (const auto& [input, wanted] : selectors) {
    if (input < 0 || input >= static_cast<std::int64_t>(vertex.inputs.size())) {
      throw Error(ErrorKind::kInvalidInput, "invalid input index " + std::to_string(input) +
                                                " in file op with " +
                                                std::to_string(vertex.inputs.size()) + " inputs");
    }
    if (changed.contains(input)) continue;
    auto const index = static_cast<std::size_t>(input);
    key.map.dependencies[index].selector = paths_selector(wanted);
    key.map.dependencies[index].content_keyed = true;
    key.selectors[index] = deduplicated(wanted);
  }
  return key;
}

// ---- sources

[[nodiscard]] std::string json_list_attribute(const pb::SourceOp& source, const std::string& name) {
  auto const found = source.attrs().find(name);
  if (found == source.attrs().end()) return "null";
  try {
    boost::json::value const parsed = boost::json::parse(found->second);
    if (parsed.is_null()) return "null";
    std::string json = "[";
    for (const boost::json::value& item : parsed.as_array()) {
      if (json.size() > 1) json += ',';
      append_go_json_string(json, item.as_string());
    }
    return json + "]";
  } catch (const std::exception&) {
    throw Error(ErrorKind::kInvalidInput, "the attribute " + name + " of " + source.identifier() +
                                              " is not a JSON list of strings");
  }
}

}  // namespace

pb::ExecOp without_incidentals(pb::ExecOp op) {
  for (pb::HostIP& host : *op.mutable_meta()->mutable_extrahosts()) host.clear_ip();
  for (pb::Mount& mount : *op.mutable_mounts()) {
    mount.clear_selector();
    if (mount.has_cacheopt() && !has_default_cache_id(mount)) {
      mount.mutable_cacheopt()->clear_id();
      mount.mutable_cacheopt()->clear_sharing();
    }
  }
  op.mutable_meta()->clear_proxy_env();
  if (op.mounts_size() == 1) {
    // Old versions left all mounts out; the plain RUN still does, to keep its digest.
    const pb::Mount& m = op.mounts(0);
    bool const plain = m.dest() == "/" && !m.readonly() && m.mounttype() == pb::BIND &&
                       !m.has_cacheopt() && !m.has_sshopt() && !m.has_secretopt() &&
                       m.resultid().empty();
    if (plain) op.clear_mounts();
  }
  return op;
}

OpKey op_key(const llb::Vertex& vertex) {
  const pb::Op& op = vertex.op;
  auto make = [&]() -> OpKey {
    switch (op.op_case()) {
      case pb::Op::kExec: return exec_key(vertex);
      case pb::Op::kFile: return file_key(vertex);
      case pb::Op::kMerge:
        return plain_key(tagged_digest("buildkit.merge.v0", "Merge", op.merge()), vertex);
      case pb::Op::kDiff:
        return plain_key(tagged_digest("buildkit.diff.v0", "Diff", op.diff()), vertex);
      case pb::Op::kBuild:
        return plain_key(tagged_digest("buildkit.build.v0", "Exec", op.build()), vertex);
      case pb::Op::kPassthrough:
        return plain_key(tagged_digest("buildkit.passthrough.v0", "Passthrough", op.passthrough()),
                         vertex);
      case pb::Op::kSource:
      case pb::Op::OP_NOT_SET: break;
    }
    throw Error(ErrorKind::kInternal, "op_key of a vertex that is no op with inputs");
  };
  OpKey key = make();
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i) {
    const auto& input = vertex.inputs[i].vertex;
    if (input && is_local_source(*input)) key.map.dependencies[i].content_only = true;
  }
  return key;
}

Digest source_digest(std::string_view key) {
  return Digest::of("buildkit.source.v0:" + std::string(key));
}

std::string image_manifest_key(const Digest& manifest, const pb::Platform& platform,
                               std::optional<int> limit) {
  std::string json = "{";
  append_string_field(json, "Digest", manifest.to_string());
  append_platform(json, platform);
  if (limit) json += ",\"Limit\":" + std::to_string(*limit);
  json += '}';
  return Digest::of(json).to_string();
}

std::string local_key(const pb::SourceOp& source, std::string_view session) {
  constexpr std::string_view kScheme = "local://";
  std::string name = source.identifier();
  if (name.starts_with(kScheme)) name.erase(0, kScheme.size());
  std::string id(session);
  if (std::size_t const colon = id.find(':'); colon != std::string::npos) {
    name = id.substr(0, colon) + "-" + name;
    id.erase(0, colon + 1);
  }
  std::string json = "{";
  append_string_field(json, "SessionID", id);
  json += ",\"IncludePatterns\":" + json_list_attribute(source, "local.includepattern");
  json += ",\"ExcludePatterns\":" + json_list_attribute(source, "local.excludepatterns");
  json += ",\"FollowPaths\":" + json_list_attribute(source, "local.followpaths");
  json += '}';
  return "session:" + name + ":" + Digest::of(json).to_string();
}

bool is_local_source(const llb::Vertex& vertex) {
  return vertex.op.has_source() && vertex.op.source().identifier().starts_with("local://");
}

Digest root_key(const Digest& op, int output) {
  return Digest::of(op.to_string() + "@" + std::to_string(output));
}

bool contains_wildcards(std::string_view name) noexcept {
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '\\') {
      ++i;
    } else if (name[i] == '*' || name[i] == '?' || name[i] == '[') {
      return true;
    }
  }
  return false;
}

}  // namespace cobuild::ops
