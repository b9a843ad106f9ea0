#include <algorithm>
#include <iterator>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/suggest.hpp"
#include "dockerfile/conversion.hpp"
#include "dockerfile/named_contexts.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::dockerfile {
namespace {

std::vector<std::string> known_image_names(const Conversion& conversion) {
  std::vector<std::string> names = conversion.stages.names();
  for (const char* name : {"alpine", "busybox", "centos", "debian", "golang", "ubuntu", "fedora"}) {
    names.emplace_back(name);
    names.push_back(std::string(name) + ":latest");
  }
  return names;
}

oci::ImageConfig scratch_config(const oci::Platform& platform) {
  oci::ImageConfig config;
  config.platform = platform;
  config.config.working_dir = "/";
  if (platform.os != "windows") config.config.env = {std::string(kDefaultPath)};
  return config;
}

class BaseResolver {
 public:
  BaseResolver(Conversion& conversion, const ResolvedImages& images)
      : conversion_(conversion), images_(images) {}

  std::vector<ImageRequest> run(StageState& target) {
    // Triggers may copy from images that the file does not name: then there is another round.
    for (int round = 0; round < kImageRounds_max; ++round) {
      auto const reachable = reachable_stages(target);
      resolve_all(reachable);
      if (!missing_.empty()) return std::move(missing_);
      if (!read_triggers(reachable)) return {};
    }
    throw Error(ErrorKind::kInvalidInput, "ONBUILD triggers lead to ever more images");
  }

 private:
  void resolve_all(const std::set<const StageState*>& reachable) {
    for (const auto& stage : conversion_.stages.all()) {
      if (stage->base != nullptr || stage->dispatched || stage->resolved) continue;
      try {
        resolve(*stage, conversion_.options.all_stages || reachable.contains(stage.get()));
      } catch (const Error& error) {
        throw error.with_span(conversion_.span(stage->lines));
      }
    }
  }

  void resolve(StageState& stage, bool is_reachable) {
    if (stage.is_replaced) {
      if (is_reachable) replace(stage);
      return;
    }
    if (stage.base_name == kScratchName) {
      stage.image = scratch_config(conversion_.target_platform);
      stage.platform = conversion_.target_platform;
      stage.resolved = is_reachable;
      stage.dispatched = stage.unregistered;
      return;
    }
    std::string const written = stage.base_name;
    oci::Reference reference = parse_name(written);
    if (!is_reachable) return;
    oci::Platform platform = stage.platform.value_or(conversion_.target_platform);
    if (auto const context = find_named_context(conversion_, written, &platform)) {
      return start_from_context(stage, *context, platform);
    }
    ImageKey const key{reference.to_string(), oci::format_platform_all(platform)};
    auto const image = images_.find(key);
    if (image == images_.end()) {
      request(stage, key, written, platform);
      return;
    }
    stage.resolved = true;
    stage.dispatched = stage.unregistered;
    stage.base_image_config = image->second.config;
    stage.image = oci::parse_image_config(image->second.config);
    if (!stage.platform && conversion_.implicit_target) detect_platform(stage.image, platform);
    if (!image->second.digest.empty()) {
      reference.digest = BlobDigest(Digest::parse(image->second.digest));
    }
    start_from(stage, reference.to_string(), written, platform);
  }

  /// F1.10.13 to F1.10.17: instead of the image there is a context of that name.
  void start_from_context(StageState& stage, const NamedContext& context, const oci::Platform& platform) {
    auto loaded = load_named_context(conversion_, context, stage, &platform, images_, missing_);
    if (!loaded) return;
    stage.resolved = true;
    stage.dispatched = stage.unregistered;
    stage.image = loaded->config ? oci::parse_image_config(*loaded->config) : scratch_config(platform);
    stage.base_image_config = std::move(loaded->config);
    take_history(stage);
    stage.state.tree = loaded->tree;
    stage.state.platform = to_pb(platform);
    stage.platform = platform;
  }

  /// F1.10.18. What starts from the stage goes on from what the context's image config says.
  void replace(StageState& stage) {
    const oci::Platform* const platform = stage.platform ? &*stage.platform
                                          : conversion_.implicit_target ? nullptr
                                                                        : &conversion_.target_platform;
    auto const context = find_named_context(conversion_, stage.name, platform);
    auto const loaded = load_named_context(conversion_, context.value(), stage, platform, images_, missing_);
    if (!loaded) return;
    stage.resolved = true;
    stage.dispatched = true;
    stage.state.tree = loaded->tree;
    if (!loaded->config) {
      stage.image.platform = stage.platform.value_or(conversion_.target_platform);
      return;
    }
    stage.image = oci::parse_image_config(*loaded->config);
    take_history(stage);
    const auto& config = stage.image.config;
    for (const std::string& entry : config.env) {
      auto [key, value] = split_variable(entry);
      stage.state.env.set(key, std::move(value));
    }
    if (!config.working_dir.empty()) stage.state.directory = config.working_dir;
    if (stage.image.platform.os.empty() || stage.image.platform.architecture.empty()) return;
    stage.platform = stage.image.platform;
    stage.state.platform = to_pb(stage.image.platform);
  }

  static oci::Reference parse_name(const std::string& written) {
    try {
      return oci::Reference::parse(written);
    } catch (const Error& error) {
      throw error.with_context("failed to parse stage name " + go_quote(written));
    }
  }

  void request(StageState& stage, const ImageKey& key, const std::string& written,
               const oci::Platform& platform) {
    if (!requested_.insert(key).second) return;
    if (!known_names_) {
      known_names_ = std::make_shared<const std::vector<std::string>>(known_image_names(conversion_));
    }
    ImageRequest image;
    image.key = key;
    image.platform = to_pb(platform);
    image.resolve_mode = conversion_.options.image_resolve_mode;
    image.written = written;
    image.step_name = "[";
    if (conversion_.options.multi_platform) image.step_name += key.platform + " ";
    image.step_name += "internal] load metadata for " + key.reference;
    image.span = conversion_.span(stage.lines);
    image.known_names = known_names_;
    missing_.push_back(std::move(image));
  }

  /// F1.4.10: nobody asked for a platform, and the image is for another one that runs here.
  void detect_platform(const oci::ImageConfig& image, oci::Platform& platform) const {
    const oci::Platform& build = conversion_.build_platform;
    if (image.platform.os == build.os && image.platform.architecture == build.architecture) {
      platform = build;
    }
  }

  void start_from(StageState& stage, const std::string& source, const std::string& written,
                  const oci::Platform& platform) {
    bool const is_empty = stage.image.diff_ids.empty() &&
                          std::ranges::all_of(stage.image.history, &oci::History::empty_layer);
    take_history(stage);
    stage.base_name = source;
    if (!is_empty) {
      stage.state.tree = conversion_.graph.add(image_node(stage, source, platform));
      stage.state.platform = to_pb(oci::normalize_platform(platform));
      check_platform(stage, written, platform);
    }
    stage.platform = platform;
  }

  /// The history of the image becomes the beginning of the stage's.
  void take_history(StageState& stage) {
    for (oci::History& entry : stage.image.history) {
      conversion_.history.push_back({stage.history, std::move(entry)});
      stage.history = static_cast<int>(conversion_.history.size()) - 1;
    }
    stage.image.history.clear();
    stage.image.created.reset();
  }

  Node image_node(StageState& stage, const std::string& source, const oci::Platform& platform) {
    SourceNode op{.op = {}, .has_platform = true};
    op.op.set_identifier("docker-image://" + source);
    Node node{.op = {}, .platform = to_pb(platform), .metadata = {}, .lines = stage.lines};
    if (conversion_.options.image_resolve_mode == ImageResolveMode::kPull) {
      (*op.op.mutable_attrs())["image.resolvemode"] = "pull";
      add_cap(node, "source.image.resolvemode");
    } else if (conversion_.options.image_resolve_mode == ImageResolveMode::kLocal) {
      (*op.op.mutable_attrs())["image.resolvemode"] = "local";
    }
    node.op = std::move(op);
    add_cap(node, "source.image");
    set_command(node, stage.parsed != nullptr ? stage.parsed->code : "");
    set_name(node, step_name(conversion_, stage, "FROM " + source, &platform, EnvList()));
    return node;
  }

  void check_platform(const StageState& stage, const std::string& written, const oci::Platform& expected) {
    const oci::Platform& actual = stage.image.platform;
    if (expected.os == actual.os && expected.architecture == actual.architecture) return;
    auto const format = [](const oci::Platform& platform) {
      return go_quote(oci::format_platform_all(oci::normalize_platform(platform)));
    };
    conversion_.linter.report(Rule::kInvalidBaseImagePlatform,
                              "Base image " + written + " was pulled with platform " + format(actual) +
                                  ", expected " + format(expected) + " for current build",
                              stage.lines, {});
  }

  /// Puts the ONBUILD triggers of the bases in front of the stages' own instructions. Returns whether
  /// one of them copies from elsewhere.
  bool read_triggers(const std::set<const StageState*>& reachable) {
    bool has_new_sources = false;
    std::vector<StageState*> stages;
    for (const auto& stage : conversion_.stages.all()) {
      if (reachable.contains(stage.get())) stages.push_back(stage.get());
    }
    for (StageState* const stage : stages) {
      if (stage->triggers_read) continue;
      stage->triggers_read = true;
      std::vector<std::string> triggers = std::move(stage->image.config.on_build);
      stage->image.config.on_build.clear();
      if (stage->base != nullptr) {
        for (const StageCommand& command : stage->base->commands) {
          const auto* const onbuild = std::get_if<OnbuildCommand>(&command.instruction->command);
          if (onbuild != nullptr) triggers.push_back(onbuild->trigger);
        }
      }
      if (stage->unregistered || stage->is_replaced || triggers.empty()) continue;
      try {
        has_new_sources |= add_triggers(*stage, triggers);
      } catch (const Error& error) {
        throw error.with_span(conversion_.span(stage->lines));
      }
    }
    return has_new_sources;
  }

  bool add_triggers(StageState& stage, const std::vector<std::string>& triggers) {
    bool has_sources = false;
    std::vector<StageCommand> commands;
    for (const std::string& trigger : triggers) {
      StatementList list = read_statements(trigger);
      if (!list.faults.empty()) throw Error(ErrorKind::kInvalidInput, list.faults[0].message);
      if (list.statements.size() != 1) {
        throw Error(ErrorKind::kInvalidInput, "onbuild trigger should be a single expression");
      }
      list.statements[0].lines = stage.lines;
      Instruction& instruction =
          conversion_.trigger_instructions.emplace_back(parse_instruction(list.statements[0], nullptr));
      commands.push_back(bind_command(conversion_, stage, instruction, true));
      has_sources |= commands.back().source != nullptr || !commands.back().mount_sources.empty();
    }
    stage.step_count += static_cast<int>(commands.size());
    stage.commands.insert(stage.commands.begin(), commands.begin(), commands.end());
    return has_sources;
  }

  Conversion& conversion_;
  const ResolvedImages& images_;
  std::vector<ImageRequest> missing_;
  std::set<ImageKey> requested_;
  std::shared_ptr<const std::vector<std::string>> known_names_;
};

}  // namespace

std::string ImageRequest::suggestion() const {
  return known_names ? did_you_mean(written, *known_names) : "";
}

std::vector<ImageRequest> resolve_bases(Conversion& conversion, StageState& target,
                                        const ResolvedImages& images) {
  return BaseResolver(conversion, images).run(target);
}

}  // namespace cobuild::dockerfile
