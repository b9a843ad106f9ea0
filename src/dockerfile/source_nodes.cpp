#include "dockerfile/source_nodes.hpp"

#include <boost/json/array.hpp>

#include <utility>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "core/base/go_path.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/utf8.hpp"
#include "dockerfile/frontend.hpp"
#include "dockerfile/text.hpp"
#include "oci/spec/json_text.hpp"

namespace cobuild::dockerfile {
namespace {

/// What a downloaded context is called.
constexpr const char* kContextFilename = "context";

/// A name that is not UTF-8 becomes one that matches nothing, as it does in BuildKit.
std::string json_list(const std::vector<std::string>& items) {
  boost::json::array list;
  for (const std::string& item : items) list.emplace_back(to_valid_utf8(item));
  return oci::to_compact_text(list);
}

Node source_node(std::string identifier, const char* cap) {
  Node node;
  SourceNode source;
  source.op.set_identifier(std::move(identifier));
  node.op = std::move(source);
  add_cap(node, cap);
  return node;
}

void set(Node& node, const char* attribute, std::string value, const char* cap = nullptr) {
  (*std::get<SourceNode>(node.op).op.mutable_attrs())[attribute] = std::move(value);
  if (cap != nullptr) add_cap(node, cap);
}

/// \throws Error kInvalidInput, or kUnsupported for other algorithms, in go-digest's words.
void check_digest(const std::string& checksum) {
  if (Digest::try_parse(checksum)) return;
  auto const [algorithm, hex] = cut(checksum, ':');
  if (!hex || algorithm.empty() || hex->empty()) {
    throw Error(ErrorKind::kInvalidInput, "invalid checksum digest format: " + go_quote(checksum) +
                                              ": use sha256: and 64 hex digits");
  }
  if (algorithm != "sha256") {
    throw Error(ErrorKind::kUnsupported, "unsupported digest algorithm: " + go_quote(checksum) +
                                             ": downloads are checked by sha256");
  }
  throw Error(ErrorKind::kInvalidInput,
              "invalid checksum digest length: " + go_quote(checksum) + ": sha256 has 64 hex digits");
}

/// The same for all ways to get at one repository.
std::string git_identifier(const GitUrl& url, const GitReference& reference) {
  std::string id = "git://" + url.host + go_path::join("/", url.path);
  if (reference.ref.empty() && reference.subdir.empty()) return id;
  id += "#" + reference.ref;
  if (!reference.subdir.empty()) id += ":" + reference.subdir;
  return id;
}

/// One copy from `source` onto nothing.
Node* add_copy(Graph& graph, Node* source, pb::FileActionCopy copy) {
  copy.set_mode(-1);
  copy.set_timestamp(-1);
  FileNode file;
  FileNode::Action& action = file.actions.emplace_back();
  action.source = source;
  *action.action.mutable_copy() = std::move(copy);
  Node node;
  node.op = std::move(file);
  add_cap(node, "file.base");
  return graph.add(std::move(node));
}

Node git_context(const ConvertOptions& options) {
  const std::string& text = options.remote_context->url;
  GitReference reference = try_parse_git_reference(text).value();
  if (options.remote_context->keep_git_dir) reference.keep_git_dir = true;
  auto const epoch = options.build_args.find("SOURCE_DATE_EPOCH");
  if (reference.mtime.empty() && epoch != options.build_args.end() && !epoch->second.empty()) {
    reference.mtime = "commit";
  }
  Node node = git_source(reference);
  set_name(node, "[internal] load git source " + text);
  return node;
}

Node http_context(const ConvertOptions& options) {
  Node node = http_source(options.remote_context->url, kContextFilename, "");
  set_name(node, "[internal] load remote build context");
  return node;
}

}  // namespace

Node local_source(const ConvertOptions& options, const std::string& name,
                  const std::string& shared_key_hint) {
  Node node = source_node("local://" + name, "source.local");
  set(node, "local.sharedkeyhint", shared_key_hint, "source.local.sharedkeyhint");
  auto const own = options.local_session_ids.find(name);
  const std::string& session = own != options.local_session_ids.end() ? own->second : options.session_id;
  if (!session.empty()) set(node, "local.session", session, "source.local.sessionid");
  return node;
}

void set_attribute(Node& node, const char* attribute, const char* cap,
                   const std::vector<std::string>& items) {
  if (!items.empty()) set(node, attribute, json_list(items), cap);
}

Node git_source(const GitReference& reference) {
  bool const has_scheme = is_git_transport(reference.remote);
  std::string const full = has_scheme ? reference.remote : "https://" + reference.remote;
  auto const url = try_parse_git_url(full);
  Node node = source_node(url ? git_identifier(*url, reference) : "git://" + full, "source.git");
  if (reference.keep_git_dir.value_or(false)) set(node, "git.keepgitdir", "true", "source.git.keepgitdir");
  set(node, "git.fullurl", url ? url->remote : full, "source.git.fullurl");
  set(node, "git.authtokensecret", "GIT_AUTH_TOKEN");
  set(node, "git.authheadersecret", "GIT_AUTH_HEADER");
  if (url && url->scheme == "ssh") {
    add_cap(node, "source.git.knownsshhosts");
    set(node, "git.mountsshsock", "default", "source.git.mountsshsock");
  }
  if (!reference.checksum.empty()) set(node, "git.checksum", reference.checksum, "source.git.checksum");
  if (!reference.submodules.value_or(true)) {
    set(node, "git.skipsubmodules", "true", "source.git.skipsubmodules");
  }
  if (!reference.mtime.empty()) set(node, "git.mtime", reference.mtime, "source.git.mtime");
  if (reference.fetch_by_commit) set(node, "git.fetchbycommit", "true", "source.git.fetchbycommit");
  return node;
}

Node http_source(const std::string& url, const std::string& filename, const std::string& checksum) {
  Node node = source_node(url, "source.http");
  if (!checksum.empty()) set(node, "http.checksum", checksum, "source.http.checksum");
  set(node, "http.filename", filename);
  return node;
}

bool is_http_source(const std::string& source) {
  return source.starts_with("http://") || source.starts_with("https://");
}

std::optional<GitReference> git_reference_of(const std::string& source) {
  auto reference = try_parse_git_reference(source);
  if (reference && reference->is_like_a_path) return std::nullopt;
  return reference;
}

std::string name_from_url(const std::string& url) {
  constexpr const char* kUnnamed = "__unnamed__";
  auto const parsed = try_parse_any_url(url);
  if (!parsed) return kUnnamed;
  std::string name = go_path::base(parsed->path);
  return name == "." || name == "/" ? kUnnamed : name;
}

Node download_source(const std::string& url, const std::string& checksum) {
  if (!checksum.empty()) check_digest(checksum);
  return http_source(url, name_from_url(url), checksum);
}

Node layout_source(const ConvertOptions& options, const std::string& store, const std::string& reference) {
  Node node = source_node("oci-layout://" + reference, "source.ocilayout");
  if (!options.session_id.empty()) set(node, "oci.session", options.session_id);
  set(node, "oci.store", store);
  std::get<SourceNode>(node.op).has_platform = true;
  return node;
}

Node remote_context_source(const ConvertOptions& options) {
  bool const is_git = options.remote_context.value().kind == RemoteContext::Kind::kGit;
  return is_git ? git_context(options) : http_context(options);
}

Node* add_remote_root(Graph& graph, const ConvertOptions& options) {
  Node* const tree = graph.add(remote_context_source(options));
  if (options.remote_context.value().kind != RemoteContext::Kind::kArchive) return tree;
  pb::FileActionCopy copy;
  copy.set_src(std::string("/") + kContextFilename);
  copy.set_dest("/");
  copy.set_attemptunpackdockercompatibility(true);
  return add_copy(graph, tree, std::move(copy));
}

Node* add_remote_context(Graph& graph, const ConvertOptions& options) {
  Node* const tree = add_remote_root(graph, options);
  const auto& subdir = options.remote_context.value().subdir;
  if (!subdir) return tree;
  pb::FileActionCopy copy;
  copy.set_src(go_path::join("/", *subdir));
  copy.set_dest("/");
  copy.set_dircopycontents(true);
  return add_copy(graph, tree, std::move(copy));
}

pb::Definition dockerfile_definition(const ConvertOptions& options, const pb::Platform& platform) {
  if (options.remote_context && !options.local_dockerfile) {
    Graph graph;
    return encode(add_remote_root(graph, options), platform, nullptr);
  }
  Node node = local_source(options, options.dockerfile_name, options.dockerfile_name);
  std::vector<std::string> paths{options.filename, ignore_filename_for(options.filename)};
  if (go_path::base(options.filename) == "Dockerfile") {
    paths.push_back(go_path::join(go_path::dir(options.filename), "dockerfile"));
  }
  set_attribute(node, "local.followpaths", "source.local.followpaths", paths);
  set(node, "local.differ", "none");
  set_name(node, load_dockerfile_step_name(options));
  return encode(&node, platform, nullptr);
}

}  // namespace cobuild::dockerfile
