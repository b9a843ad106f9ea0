#include <algorithm>
#include <array>

#include "core/base/digest.hpp"
#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/go_quote.hpp"
#include "dockerfile/git_reference.hpp"
#include "dockerfile/source_nodes.hpp"
#include "dockerfile/step_builder.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

/// Cleans, and keeps what says that the path is a directory: "/" or "/." at its end.
std::string clean_keeping_slash(const std::string& path) {
  std::string clean = go_path::clean(path);
  if (!go_path::is_absolute(clean)) clean = go_path::join("/", clean);
  if (path.ends_with('/') && !clean.ends_with('/')) {
    clean += '/';
  } else if (path.ends_with("/.")) {
    clean += clean == "/" ? "." : "/.";
  }
  return clean;
}

std::string absolute_source(const std::string& path) {
  return go_path::is_absolute(path) ? path : go_path::join("/", path);
}

bool has_copy_wildcard(const std::string& path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '*' || path[i] == '?' || path[i] == '[') return true;
    if (path[i] == '\\') ++i;
  }
  return false;
}

/// What the flag and the URL both may say.
template <class T>
T agree(const T& flag, const T& in_url, const T& none, const std::string& conflict) {
  if (in_url == none) return flag;
  if (flag != none && flag != in_url) throw Error(ErrorKind::kInvalidInput, conflict);
  return in_url;
}

/// --checksum is for one remote source.
void check_checksum(const CopyCommand& command) {
  if (command.checksum.empty()) return;
  if (!command.is_add) throw Error(ErrorKind::kInvalidInput, "checksum can't be specified for COPY");
  if (command.sources.size() != 1) {
    throw Error(ErrorKind::kInvalidInput, "checksum can't be specified for multiple sources");
  }
  if (!is_http_source(command.sources[0]) && !try_parse_git_reference(command.sources[0])) {
    throw Error(ErrorKind::kInvalidInput, "checksum requires HTTP(S) or Git sources");
  }
}

std::string history_text(const CopyCommand& command) {
  std::string text = command.is_add ? "ADD" : "COPY";
  if (command.parents) text += " --parents";
  if (!command.chown.empty()) text += " --chown=" + command.chown;
  if (!command.chmod.empty()) text += " --chmod=" + command.chmod;
  for (const std::string& source : command.sources) text += " " + source;
  for (const auto& document : command.documents) text += " <<" + document.name;
  return text + " " + command.destination;
}

/// What all sources of the instruction have in common.
pb::FileActionCopy common_action(const CopyCommand& command, std::string destination) {
  pb::FileActionCopy copy;
  copy.set_dest(std::move(destination));
  copy.set_createdestpath(true);
  copy.set_timestamp(-1);
  copy.set_mode(-1);
  if (!command.chmod.empty()) set_mode(command.chmod, copy);
  if (!command.chown.empty()) *copy.mutable_owner() = parse_owner(command.chown);
  for (const std::string& pattern : command.excludes) copy.add_exclude_patterns(pattern);
  return copy;
}

}  // namespace

void StepBuilder::apply_to(const CopyCommand& written) {
  CopyCommand command = written;
  command.chown = expand(written.chown);
  command.chmod = expand(written.chmod);
  command.checksum = expand(written.checksum);
  command.sources = expand(written.sources);
  command.destination = expand(written.destination);
  for (auto& document : command.documents) {
    if (document.expand) document.content = expand_document(document.content);
  }
  if (source_ != nullptr && !source_->dispatched) {
    throw Error(ErrorKind::kInvalidInput,
                "cannot copy from stage " + go_quote(command.from) +
                    ", it needs to be defined before current stage " + go_quote(stage_.display_name));
  }
  Node* const tree = source_ != nullptr ? source_->state.tree : conversion_.build_context;
  pb::FileActionCopy const common = common_action(command, destination_path(command.destination));
  check_checksum(command);

  std::string const text = describe(instruction_->code, env(), conversion_.words);
  std::string const name = step_name(conversion_, stage_, text, &*stage_.platform, env());
  FileNode file{.base = stage_.state.tree, .actions = {}};
  for (const std::string& source : command.sources) {
    if (!add_remote_source(command, source, name, common, file)) {
      add_source(command, source, tree, common, file);
    }
  }
  for (const auto& document : command.documents) add_document(document, common, file);

  Node node{.op = std::move(file), .platform = {}, .metadata = {}, .lines = instruction_->lines};
  set_name(node, name);
  add_cap(node, "file.base");
  if (stage_.ignore_cache) node.metadata.set_ignore_cache(true);
  if (command.link && command.chmod.empty()) {
    link(std::move(node), text, *stage_.platform);
  } else {
    stage_.state.tree = conversion_.graph.add(std::move(node));
  }
  commit(history_text(command) + " # buildkit", true);
  for (const std::string& source : command.sources) {
    if (command.is_add && is_http_source(source)) continue;
    std::set<std::string>& used = source_ != nullptr ? *source_->used_paths : stage_.context_paths;
    used.insert(go_path::join("/", source));
  }
}

std::string StepBuilder::destination_path(const std::string& path) const {
  std::string const written = path.empty() || path == "." ? "./" : path;
  if (go_path::is_absolute(written)) return clean_keeping_slash(written);
  std::string joined = go_path::join(stage_.state.directory, written);
  if (written.ends_with('/') && !joined.ends_with('/')) {
    joined += '/';
  } else if (written.ends_with("/.")) {
    joined += joined == "/" ? "." : "/.";
  }
  return clean_keeping_slash(joined);
}

bool StepBuilder::add_remote_source(const CopyCommand& command, const std::string& source,
                                    const std::string& step_name, const pb::FileActionCopy& common,
                                    FileNode& file) {
  auto reference = git_reference_of(source);
  if (!reference && !is_http_source(source)) return false;
  if (!command.is_add) {
    throw Error(ErrorKind::kInvalidInput, reference ? "source can't be a git ref for COPY"
                                                    : "source can't be a URL for COPY");
  }
  Node node;
  pb::FileActionCopy copy = common;
  if (reference) {
    using Keep = std::optional<bool>;
    reference->keep_git_dir = agree<Keep>(command.keep_git_dir, reference->keep_git_dir, std::nullopt,
                                          "inconsistent keep-git-dir configuration");
    reference->checksum = agree<std::string>(
        command.checksum, reference->checksum, "",
        "checksum mismatch " + go_quote(command.checksum) + " != " + go_quote(reference->checksum));
    reference->mtime.clear();  // As BuildKit: only contexts have it.
    node = git_source(*reference);
    copy.set_src("/");
  } else {
    node = download_source(source, command.checksum);
    set_command(node, "");
    copy.set_src(go_path::join("/", name_from_url(source)));
    copy.set_attemptunpackdockercompatibility(command.unpack.value_or(false));
  }
  set_name(node, step_name);
  FileNode::Action& action = file.actions.emplace_back();
  action.source = conversion_.graph.add(std::move(node));
  *action.action.mutable_copy() = std::move(copy);
  return true;
}

void StepBuilder::add_source(const CopyCommand& command, const std::string& source, Node* tree,
                             const pb::FileActionCopy& common, FileNode& file) {
  if (source_ == nullptr) check_ignored(command, source);
  FileNode::Action& action = file.actions.emplace_back();
  action.source = tree;
  pb::FileActionCopy& copy = *action.action.mutable_copy();
  copy = common;
  std::string root = source;
  if (command.parents) {
    std::size_t const pivot = source.find("/./");
    root = pivot == std::string::npos ? "/" : source.substr(0, pivot);
    std::string const pattern =
        absolute_source(pivot == std::string::npos ? source : source.substr(pivot + 3));
    copy.add_include_patterns(pattern.substr(1));
    if (!has_copy_wildcard(root) && !has_copy_wildcard(pattern)) {
      copy.add_required_paths(absolute_source(go_path::join(root, pattern)));
    }
  }
  copy.set_src(go_path::clean(absolute_source(root)));
  copy.set_followsymlink(true);
  copy.set_dircopycontents(true);
  copy.set_allowwildcard(true);
  copy.set_allowemptywildcard(true);
  copy.set_attemptunpackdockercompatibility(command.unpack.value_or(command.is_add));
}

void StepBuilder::add_document(const CopyCommand::Document& document, const pb::FileActionCopy& common,
                               FileNode& file) {
  FileNode::Action& action = file.actions.emplace_back();
  action.source = inline_document(document.name, 0644, document.content);
  pb::FileActionCopy& copy = *action.action.mutable_copy();
  copy = common;
  copy.set_src(go_path::join("/", document.name));
}

/// --link: the copy goes onto an empty tree, which is then laid over the stage's (F1.7.14).
void StepBuilder::link(Node copy, const std::string& name, const oci::Platform& platform) {
  auto next_name = [&](const std::string& text) {
    --stage_.step_index;  // It is still the same step.
    return step_name(conversion_, stage_, text, &platform, env());
  };
  std::string const group_name = next_name(name);
  Node merge{.op = {}, .platform = {}, .metadata = copy.metadata, .lines = copy.lines};
  std::string const seed = "link " + std::to_string(++conversion_.link_count) + " " + *conversion_.file.text;
  pb::ProgressGroup group;
  group.set_id(Digest::of(std::string_view(seed)).hex().substr(0, 25));
  group.set_name(group_name);
  *merge.metadata.mutable_progress_group() = group;
  group.set_weak(true);
  *copy.metadata.mutable_progress_group() = group;
  merge.metadata.clear_caps();
  add_cap(merge, "mergeop");
  set_name(merge, next_name("LINK " + name));

  Node* const below = stage_.state.tree;
  std::get<FileNode>(copy.op).base = nullptr;
  Node* const copied = conversion_.graph.add(std::move(copy));
  if (below == nullptr) {
    stage_.state.tree = copied;  // Nothing to lay it over.
    return;
  }
  merge.op = MergeNode{{below, copied}};
  stage_.state.tree = conversion_.graph.add(std::move(merge));
}

/// F1.12.19. With negations it cannot be told whether something below the source is kept.
void StepBuilder::check_ignored(const CopyCommand& command, const std::string& source) {
  const PatternSet& ignore = conversion_.ignore;
  if (ignore.empty() || ignore.has_negations()) return;
  std::string const path = go_path::clean(source);
  if (path == "." || path == "/") {
    constexpr std::array<std::string_view, 3> kEverything{"*", "**", "**/*"};
    auto const is_everything = [&](const std::string& pattern) {
      return std::ranges::find(kEverything, pattern) != kEverything.end();
    };
    if (std::ranges::none_of(conversion_.options.ignore.patterns, is_everything)) return;
  }
  if (!ignore.match(path).matched) return;
  report(Rule::kCopyIgnoredFile, std::string("Attempting to ") + (command.is_add ? "Add" : "Copy") +
                                     " file " + go_quote(path) + " that is excluded by .dockerignore");
}

}  // namespace cobuild::dockerfile
