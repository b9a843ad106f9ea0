#include "dockerfile/conversion.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

std::optional<pb::ProxyEnv> proxy_from(const std::map<std::string, std::string>& build_args) {
  pb::ProxyEnv proxy;
  bool any = false;
  for (const auto& [key, value] : build_args) {
    std::string const name = to_lower(key);
    std::string* const field = name == "http_proxy"    ? proxy.mutable_http_proxy()
                               : name == "https_proxy" ? proxy.mutable_https_proxy()
                               : name == "ftp_proxy"   ? proxy.mutable_ftp_proxy()
                               : name == "no_proxy"    ? proxy.mutable_no_proxy()
                               : name == "all_proxy"   ? proxy.mutable_all_proxy()
                                                       : nullptr;
    if (field == nullptr) continue;
    *field = value;
    any = true;
  }
  return any ? std::optional(proxy) : std::nullopt;
}

}  // namespace

LintConfig lint_config(const ParsedFile& file, const ConvertOptions& options) {
  try {
    return LintConfig::parse(options.check ? *options.check : file.check.value_or(""));
  } catch (const Error& error) {
    throw error.with_context(options.check ? "failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK"
                                           : "failed to parse check options");
  }
}

StageState& StageList::add(std::unique_ptr<StageState> stage) {
  auto const base = by_name_.find(stage->base_name);
  if (base != by_name_.end()) stage->base = base->second;
  if (!stage->name.empty()) by_name_[stage->name] = stage.get();
  stages_.push_back(std::move(stage));
  return *stages_.back();
}

StageState* StageList::find(std::string_view name) const {
  auto const found = by_name_.find(to_lower(name));
  return found == by_name_.end() ? nullptr : found->second;
}

StageState* StageList::at(long long index) const {
  if (index < 0 || index >= static_cast<long long>(stages_.size())) return nullptr;
  return stages_[static_cast<std::size_t>(index)].get();
}

std::vector<std::string> StageList::names() const {
  std::vector<std::string> names;
  for (const auto& stage : stages_) {
    if (!stage->display_name.empty()) names.push_back(stage->display_name);
  }
  return names;
}

Conversion::Conversion(const ParsedFile& parsed_file, const ConvertOptions& convert_options,
                       std::vector<Warning>& warnings)
    : file(parsed_file), options(convert_options), build_args(convert_options.build_args),
      words{.escape = parsed_file.escape}, build_platform(to_oci(convert_options.build_platform)),
      implicit_target(!convert_options.target_platform.has_value()),
      proxy(proxy_from(convert_options.build_args)), ignore(convert_options.ignore.patterns),
      linter(lint_config(parsed_file, convert_options), warnings) {
  target_platform = implicit_target ? build_platform : to_oci(*convert_options.target_platform);
  for (const Finding& finding : file.findings) linter.report(finding);
}

void Conversion::commit(StageState& stage, std::string created_by, bool has_layer) {
  oci::History entry;
  if (epoch) entry.created = format_rfc3339(*epoch);
  entry.created_by = std::move(created_by);
  entry.comment = "buildkit.dockerfile.v0";
  entry.empty_layer = !has_layer;
  history.push_back({stage.history, std::move(entry)});
  stage.history = static_cast<int>(history.size()) - 1;
}

void inherit(StageState& stage) {
  const StageState* const base = stage.base;
  if (base == nullptr) return;
  stage.state = base->state;
  stage.platform = base->platform;
  stage.image = base->image;
  stage.image.config.on_build.clear();
  stage.history = base->history;
  stage.base_image_config = base->base_image_config;
  stage.workdir_set = base->workdir_set;
  stage.used_paths = base->used_paths;
  stage.build_args.insert(stage.build_args.end(), base->build_args.begin(), base->build_args.end());
}

std::vector<std::string> relative_paths(const std::set<std::string>& paths) {
  std::vector<std::string> out;
  for (const std::string& path : paths) {
    if (path == "/") return {};
    out.push_back(go_path::join(".", path));
  }
  std::ranges::sort(out);
  return out;
}

pb::Platform to_pb(const oci::Platform& platform) {
  pb::Platform out;
  out.set_os(platform.os);
  out.set_architecture(platform.architecture);
  out.set_variant(platform.variant);
  out.set_osversion(platform.os_version);
  for (const std::string& feature : platform.os_features) out.add_osfeatures(feature);
  return out;
}

oci::Platform to_oci(const pb::Platform& platform) {
  return {.os = platform.os(),
          .architecture = platform.architecture(),
          .variant = platform.variant(),
          .os_version = platform.osversion(),
          .os_features = {platform.osfeatures().begin(), platform.osfeatures().end()}};
}

}  // namespace cobuild::dockerfile
