#include <algorithm>

#include "core/base/error.hpp"
#include "dockerfile/lowering.hpp"
#include "dockerfile/named_contexts.hpp"
#include "dockerfile/requests.hpp"
#include "dockerfile/source_nodes.hpp"
#include "dockerfile/step_builder.hpp"

namespace cobuild::dockerfile {
namespace {

/// What the linter finds in a file that cannot be parsed: as far as the first error.
void report_findings_before(const Parsed& parsed, const ConvertOptions& options,
                            std::vector<Warning>& warnings) {
  Linter linter(lint_config(*parsed.file, options), warnings);
  int end = 0;
  for (const Error::Frame& frame : parsed.errors.front().frames()) {
    if (frame.span) end = frame.span->first_line;
  }
  for (const Finding& finding : parsed.file->findings) {
    if (finding.lines.last < end) linter.report(finding);
  }
}

const ParsedFile& checked(const Parsed& parsed) {
  parsed.throw_if_bad();
  return *parsed.file;
}

}  // namespace

Lowering::Lowering(const Parsed& parsed, const ConvertOptions& options, std::vector<Warning>& warnings)
    : conversion_(checked(parsed), options, warnings), warnings_(warnings) {
  conversion_.build_context = conversion_.graph.add(Node{});
  check_names(conversion_);
  read_global_args(conversion_);
  set_epoch(conversion_);
  target_ = &build_stages(conversion_);
}

std::vector<ImageRequest> Lowering::resolve(const ResolvedImages& images) {
  return resolve_bases(conversion_, *target_, images);
}

void Lowering::resolve_all(const ResolvedImages& images) {
  auto const missing = resolve(images);
  if (missing.empty()) return;
  throw Error(ErrorKind::kInternal, "the image config of " + missing[0].key.reference + " is missing");
}

void Lowering::apply() {
  auto const reachable = reachable_stages(*target_);
  for (const auto& stage : conversion_.stages.all()) {
    if (stage->dispatched || !(conversion_.options.all_stages || reachable.contains(stage.get()))) continue;
    StepBuilder(conversion_, *stage).build();
    paths_.insert(stage->context_paths.begin(), stage->context_paths.end());
  }
  for (const auto& [key, value] : conversion_.options.labels) {
    target_->image.config.labels[key] = value;
  }
  conversion_.linter.throw_if_fatal();
}

Lowered Lowering::take() {
  target_->used_paths->insert("/");
  finish_local_contexts(conversion_);
  finish_context(relative_paths(paths_));
  set_platform();
  Lowered lowered;
  pb::Platform const platform = to_pb(conversion_.target_platform);
  SourceText const source{.filename = conversion_.options.filename,
                          .data = *conversion_.file.text,
                          .definition = dockerfile_definition(conversion_.options, platform)};
  lowered.definition = encode(target_->state.tree, platform, &source);
  lowered.platform = to_pb(oci::normalize_platform(conversion_.target_platform));
  lowered.image_config = oci::to_json(full_config());
  lowered.base_image_config = target_->base_image_config;
  lowered.epoch = conversion_.epoch;
  lowered.warnings = std::move(warnings_);
  lowered.target_stage = target_->display_name;
  lowered.context_paths = relative_paths(paths_);
  lowered.ignore_cache = target_->ignore_cache;
  return lowered;
}

void Lowering::finish_context(const std::vector<std::string>& paths) {
  const ConvertOptions& options = conversion_.options;
  if (options.remote_context) {
    *conversion_.build_context = *add_remote_context(conversion_.graph, options);
    return;
  }
  Node node = local_source(options, options.context_name, options.context_name);
  set_attribute(node, "local.excludepatterns", "source.local.excludepatterns", options.ignore.patterns);
  set_attribute(node, "local.followpaths", "source.local.followpaths", paths);
  set_name(node, "[internal] load build context");
  *conversion_.build_context = std::move(node);
}

/// F1.4.21.
void Lowering::set_platform() {
  oci::Platform& platform = target_->image.platform;
  if (!conversion_.implicit_target) {
    const oci::Platform& wanted = conversion_.target_platform;
    bool const same = wanted.os == platform.os && wanted.architecture == platform.architecture;
    platform.os = wanted.os;
    platform.architecture = wanted.architecture;
    if (!wanted.variant.empty() || !same) platform.variant = wanted.variant;
    if (!wanted.os_version.empty() || !same) platform.os_version = wanted.os_version;
    if (!wanted.os_features.empty()) platform.os_features = wanted.os_features;
  }
  platform = oci::normalize_platform(std::move(platform));
}

oci::ImageConfig Lowering::full_config() const {
  oci::ImageConfig config = target_->image;
  for (int i = target_->history; i >= 0; i = conversion_.history[static_cast<std::size_t>(i)].previous) {
    config.history.push_back(conversion_.history[static_cast<std::size_t>(i)].entry);
  }
  std::ranges::reverse(config.history);
  return config;
}

std::vector<ImageRequest> list_base_images(const Parsed& parsed, const ConvertOptions& options,
                                           const ResolvedImages& resolved) {
  std::vector<Warning> warnings;
  return Lowering(parsed, options, warnings).resolve(resolved);
}

Lowered lower(const Parsed& parsed, const ConvertOptions& options, const ResolvedImages& resolved) {
  std::vector<Warning> warnings;
  Lowering lowering(parsed, options, warnings);
  lowering.resolve_all(resolved);
  lowering.apply();
  return lowering.take();
}

LintReport lint(const Parsed& parsed, const ConvertOptions& options, const ResolvedImages& resolved,
                const std::optional<Error>& unresolved) {
  LintReport report;
  report.loaded_from = dockerfile_definition(options, options.build_platform);
  ConvertOptions all = options;
  all.all_stages = options.target.empty();
  try {
    if (!parsed.errors.empty()) report_findings_before(parsed, options, report.warnings);
    Lowering lowering(parsed, all, report.warnings);
    bool const has_all = lowering.resolve(resolved).empty();
    if (has_all && !unresolved) {
      lowering.apply();
    } else {
      report.error = unresolved;
    }
  } catch (const Error& error) {
    report.error = error;
  }
  return report;
}

pb::Definition remote_context_definition(const ConvertOptions& options) {
  Graph graph;
  return encode(add_remote_root(graph, options), options.build_platform, nullptr);
}

pb::Definition context_download_definition(const ConvertOptions& options) {
  Graph graph;
  return encode(graph.add(remote_context_source(options)), options.build_platform, nullptr);
}

bool is_context_archive(std::string_view head) {
  for (std::string_view const magic : {"BZh", "\x1f\x8b\x08", "\xfd" "7zXZ"}) {
    if (head.starts_with(magic)) return true;
  }
  // A tar header says what its bytes add up to, its own checksum taken as blanks.
  constexpr std::size_t kHeaderBytes = 512;
  constexpr std::size_t kChecksum = 148;
  constexpr std::size_t kChecksumEnd = 156;
  if (head.size() < kHeaderBytes) return false;
  unsigned long sum = 0;
  for (std::size_t i = 0; i < kHeaderBytes; ++i) {
    bool const in_checksum = i >= kChecksum && i < kChecksumEnd;
    sum += in_checksum ? ' ' : static_cast<unsigned char>(head[i]);
  }
  unsigned long told = 0;
  std::size_t digits = 0;
  for (char const c : head.substr(kChecksum, kChecksumEnd - kChecksum)) {
    if (c >= '0' && c <= '7') {
      told = told * 8 + static_cast<unsigned long>(c - '0');
      ++digits;
    } else if (digits > 0) {
      break;
    } else if (c != ' ') {
      return false;
    }
  }
  return digits > 0 && told == sum;
}

std::string load_dockerfile_step_name(const ConvertOptions& options) {
  return "[internal] load build definition from " + options.filename;
}

std::string load_ignore_file_step_name() { return "[internal] load .dockerignore"; }

}  // namespace cobuild::dockerfile
