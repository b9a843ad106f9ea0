#include "dockerfile/named_contexts.hpp"

#include <algorithm>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "dockerfile/source_nodes.hpp"
#include "dockerfile/text.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr std::string_view kTargetScheme = "target";

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

/// "docker-image" and "//alpine" of "docker-image://alpine".
std::pair<std::string, std::string> split_spec(const NamedContext& context) {
  auto const [scheme, rest] = cut(context.spec, ':');
  if (!rest) fail("invalid context specifier " + context.spec + " for " + context.label);
  // git@ without a protocol is ssh.
  return {scheme.starts_with("git@") ? "git" : std::string(scheme), std::string(*rest)};
}

std::string without_slashes(const std::string& text) {
  return text.starts_with("//") ? text.substr(2) : text;
}

class ContextLoader {
 public:
  ContextLoader(Conversion& conversion, const NamedContext& context, const StageState& stage,
                const oci::Platform* platform, const ResolvedImages& images,
                std::vector<ImageRequest>& missing)
      : conversion_(conversion), context_(context), stage_(stage), platform_(platform), images_(images),
        missing_(missing) {}

  std::optional<LoadedContext> load() {
    auto const [scheme, rest] = split_spec(context_);
    if (scheme == "docker-image") return load_image(without_slashes(rest));
    if (scheme == "oci-layout") return load_layout(without_slashes(rest));
    if (scheme == "local") return load_local(rest);
    if (scheme == "git") return load_git();
    if (scheme == "http" || scheme == "https") return load_http();
    // Inputs come from other builds of the same client, of which there are none.
    if (scheme == "input") fail("invalid input " + rest + " for " + context_.label);
    fail("unsupported context source " + scheme + " for " + context_.label);
  }

 private:
  [[nodiscard]] std::string step(const std::string& what) const {
    return "[context " + context_.label + "] " + what;
  }

  /// The platform that images are wanted for.
  [[nodiscard]] oci::Platform wanted_platform() const {
    return platform_ != nullptr ? *platform_ : conversion_.build_platform;
  }

  /// What `request` found; null when it is yet to be made.
  const ResolvedImage* look_up(ImageRequest request) {
    auto const found = images_.find(request.key);
    if (found != images_.end()) return &found->second;
    auto const same = [&request](const ImageRequest& one) { return one.key == request.key; };
    if (std::ranges::none_of(missing_, same)) missing_.push_back(std::move(request));
    return nullptr;
  }

  [[nodiscard]] ImageRequest new_request(ImageRequest::Kind kind, std::string reference) const {
    ImageRequest request;
    request.kind = kind;
    oci::Platform const platform = wanted_platform();
    request.key = {std::move(reference), oci::format_platform_all(platform)};
    request.platform = to_pb(platform);
    request.resolve_mode = conversion_.options.image_resolve_mode;
    request.written = "context " + context_.label;
    request.span = conversion_.span(stage_.lines);
    return request;
  }

  std::optional<LoadedContext> load_image(const std::string& written) {
    if (written == kScratchName) return LoadedContext{};
    std::string const reference = oci::Reference::parse(written).to_string();
    ImageRequest request = new_request(ImageRequest::Kind::kImage, reference);
    request.step_name = step("load metadata for " + written);
    const ResolvedImage* const image = look_up(std::move(request));
    if (image == nullptr) return std::nullopt;
    SourceNode source{.op = {}, .has_platform = true};
    source.op.set_identifier("docker-image://" + reference);
    Node node{.op = std::move(source), .platform = {}, .metadata = {}, .lines = {}};
    add_cap(node, "source.image");
    return add_image(std::move(node), written, image->config);
  }

  std::optional<LoadedContext> load_layout(const std::string& written) {
    auto const [named, digest] = cut(written, '@');
    if (!digest) fail("oci-layout reference " + go_quote(written) + " has no digest");
    if (named.empty()) fail("oci-layout reference " + go_quote(written) + " has no name");
    std::size_t const tag = named.find(':', named.rfind('/') == std::string_view::npos ? 0 : named.rfind('/'));
    std::string const store(named.substr(0, tag));
    std::string const reference = layout_reference(std::string(*digest), written);
    ImageRequest request = new_request(ImageRequest::Kind::kLayoutImage, reference);
    request.key.reference = "oci-layout://" + store + " " + reference;
    request.reference = reference;
    request.store = store;
    request.step_name = step("load metadata for " + reference);
    const ResolvedImage* const image = look_up(std::move(request));
    if (image == nullptr) return std::nullopt;
    return add_image(layout_source(conversion_.options, store, reference), "OCI load from client",
                     image->config);
  }

  /// The context's name with the digest: what messages call it.
  [[nodiscard]] std::string layout_reference(const std::string& digest, const std::string& written) const {
    try {
      return oci::Reference::parse(context_.name + "@" + digest).to_string();
    } catch (const Error& error) {
      throw error.with_context("could not parse oci-layout reference " + go_quote(written));
    }
  }

  LoadedContext add_image(Node node, const std::string& name, const std::string& config) {
    if (platform_ != nullptr) node.platform = to_pb(*platform_);
    set_name(node, step(name));
    return {.tree = conversion_.graph.add(std::move(node)), .config = config};
  }

  std::optional<LoadedContext> load_local(const std::string& directory) {
    ImageRequest request = new_request(ImageRequest::Kind::kIgnoreFile, "local:" + directory);
    request.key.platform.clear();
    request.store = directory;
    request.step_name = step("load .dockerignore");
    const ResolvedImage* const found = look_up(std::move(request));
    if (found == nullptr) return std::nullopt;
    LocalContext local;
    local.node = conversion_.graph.add(Node{});
    local.directory = directory;
    local.label = context_.label;
    local.excludes = parse_ignore_file(found->config, ".dockerignore").patterns;
    local.paths = stage_.used_paths;
    Node* const node = local.node;
    conversion_.local_contexts.push_back(std::move(local));
    return LoadedContext{.tree = node, .config = {}};
  }

  std::optional<LoadedContext> load_git() {
    auto reference = try_parse_git_reference(context_.spec);
    if (!reference) fail("invalid git context " + context_.spec);
    return add_git(*reference);
  }

  LoadedContext add_git(const GitReference& reference) {
    Node node = git_source(reference);
    set_name(node, "[internal] load git source " + context_.spec);
    return {.tree = conversion_.graph.add(std::move(node)), .config = {}};
  }

  std::optional<LoadedContext> load_http() {
    if (auto const reference = try_parse_git_reference(context_.spec)) return add_git(*reference);
    Node node = http_source(context_.spec, "context", "");
    set_name(node, step(context_.spec));
    return LoadedContext{.tree = conversion_.graph.add(std::move(node)), .config = {}};
  }

  Conversion& conversion_;
  const NamedContext& context_;
  const StageState& stage_;
  const oci::Platform* platform_;
  const ResolvedImages& images_;
  std::vector<ImageRequest>& missing_;
};

}  // namespace

std::optional<NamedContext> find_named_context(const Conversion& conversion, const std::string& name,
                                               const oci::Platform* platform) {
  auto const& contexts = conversion.options.named_contexts;
  if (contexts.empty() || equals_ignoring_case(name, kScratchName) || equals_ignoring_case(name, "context")) {
    return std::nullopt;
  }
  auto const reference = oci::Reference::try_parse(name);
  if (!reference) fail("invalid context name " + name);
  std::string key = reference->familiar();
  constexpr std::string_view kLatest = ":latest";
  if (key.ends_with(kLatest)) key.resize(key.size() - kLatest.size());
  if (platform == nullptr && !conversion.implicit_target) platform = &conversion.target_platform;
  oci::Platform const wanted = platform != nullptr ? *platform : conversion.build_platform;
  std::string const for_platform =
      key + "::" + oci::format_platform_all(oci::normalize_platform(wanted));
  for (const std::string& label : {for_platform, key}) {
    auto const found = contexts.find(label);
    if (found != contexts.end()) return NamedContext{key, label, found->second};
  }
  return std::nullopt;
}

std::optional<LoadedContext> load_named_context(Conversion& conversion, const NamedContext& context,
                                                const StageState& stage, const oci::Platform* platform,
                                                const ResolvedImages& images,
                                                std::vector<ImageRequest>& missing) {
  return ContextLoader(conversion, context, stage, platform, images, missing).load();
}

std::string target_stage_of(const NamedContext& context) {
  auto const [scheme, rest] = cut(context.spec, ':');
  return scheme == kTargetScheme && rest ? to_lower(*rest) : std::string();
}

void finish_local_contexts(Conversion& conversion) {
  for (const LocalContext& local : conversion.local_contexts) {
    const ConvertOptions& options = conversion.options;
    auto const key = options.shared_keys.find(local.label);
    std::string const hint =
        "context:" + local.label + "-" + (key == options.shared_keys.end() ? "" : key->second);
    Node node = local_source(options, local.directory, hint);
    set_attribute(node, "local.excludepatterns", "source.local.excludepatterns", local.excludes);
    set_attribute(node, "local.followpaths", "source.local.followpaths", relative_paths(*local.paths));
    set_name(node, "[context " + local.label + "] load from client");
    *local.node = std::move(node);
  }
}

}  // namespace cobuild::dockerfile
