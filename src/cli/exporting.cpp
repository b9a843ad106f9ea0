#include "cli/exporting.hpp"

#include <unistd.h>

#include <fcntl.h>
#include <algorithm>
#include <chrono>
#include <utility>

#include "cli/early_export.hpp"
#include "cli/export_options.hpp"
#include "cli/head_start.hpp"
#include "cli/image_push.hpp"
#include "cli/internal_step.hpp"
#include "cli/remedies.hpp"
#include "core/async/cleanup.hpp"
#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/base/go_time.hpp"
#include "core/base/timings.hpp"
#include "core/sys/write_rights.hpp"
#include "dockerfile/options.hpp"
#include "oci/export_image.hpp"
#include "oci/export_tree.hpp"
#include "oci/image_config_patch.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/media_type.hpp"
#include "ops/images.hpp"
#include "ops/kept_images.hpp"
#include "ops/remote_cache.hpp"

namespace cobuild::cli {
namespace {

[[noreturn]] void refuse(const std::string& what) { throw Error(ErrorKind::kInvalidInput, what); }

/// How many of the lowest layers are the base image's: they are never rewritten (F10.95).
std::size_t count_base_layers(const BuiltTarget& target) {
  if (!target.base_image_config) return 0;
  return oci::parse_image_config(*target.base_image_config).diff_ids.size();
}

/// "rewriting layers with source-date-epoch 0 (1970-01-01 00:00:00 +0000 UTC)" (F4.6.3).
std::string rewrite_status(Timestamp epoch) {
  auto const seconds = std::chrono::floor<std::chrono::seconds>(epoch).time_since_epoch().count();
  std::string time = format_rfc3339(epoch);  // "1970-01-01T00:00:00Z"
  std::ranges::replace(time, 'T', ' ');
  time.pop_back();
  return "rewriting layers with source-date-epoch " + std::to_string(seconds) + " (" + time +
         " +0000 UTC)";
}

/// What the image is for: as its config says, where the frontend wrote one.
oci::Platform platform_of(const BuiltTarget& target) {
  if (target.image_config.empty()) return ops::to_oci(target.platform);
  return oci::parse_image_config(target.image_config).platform;
}

/// Seals the layers and makes config and manifest. `platform`: which one of an index it is.
Task<oci::ExportImage> make_image(const ExportOptions& options, const BuiltTarget& target,
                                  std::optional<oci::Platform> platform,
                                  const BuiltResult& result, Workspace& workspace,
                                  solve::StepSink& step, ops::PackWatcher* watcher) {
  std::optional<Timestamp> const epoch = options.epoch_or(target.epoch);
  ops::SealRequest request = options.seal;
  std::size_t const base_layers = options.squash == Squash::kAll ? 0 : count_base_layers(target);
  if (options.squash != Squash::kNone) request.squash_above = base_layers;
  if (options.rewrite_timestamp && epoch) {
    request.mtime_max = epoch;
    request.base_layers = base_layers;
  } else if (options.rewrite_timestamp) {
    step.warn("rewrite-timestamp is specified, but no source-date-epoch was found");
  }
  if (request.mtime_max) {
    step.status(rewrite_status(*epoch), 0, 0, false);
    watcher = nullptr;  // Layers that come out the same each time are asked for, not just sent.
  }
  auto layers = co_await workspace.sealer.seal(target.layers, request, step, watcher);
  if (request.mtime_max) step.status(rewrite_status(*epoch), 0, 0, true);
  if (!options.prefer_nondistributable) {
    for (oci::ImageLayer& layer : layers) {
      if (!oci::is_foreign_layer_type(layer.media_type)) continue;
      layer.media_type = oci::distributable_type(layer.media_type);
      layer.urls.clear();
    }
  }

  Annotations const annotations = annotations_of(options, platform);
  oci::ImageOptions image_options;
  image_options.oci_media_types = options.seal.oci_media_types;
  image_options.epoch = epoch;
  if (options.squash != Squash::kNone) image_options.squashed_above = base_layers;
  image_options.base_config = target.base_image_config.value_or("");
  image_options.manifest_annotations = annotations.manifest;
  if (result.inline_cache) {
    step.status("preparing layers for inline cache", 0, 0, false);
    request.squash_above.reset();
    std::vector<store::LayerChain> results{target.layers};
    ops::CollectedCache const cache = co_await ops::collect_cache(
        result.keys.records, {std::move(results), false}, std::move(request), *workspace.store,
        workspace.sealer, step);
    if (std::string records = ops::make_inline_cache(cache, layers); !records.empty()) {
      image_options.inline_cache = std::move(records);
    }
    step.status("preparing layers for inline cache", 0, 0, true);
  }
  std::string const config =
      target.image_config.empty()
          ? oci::default_image_config(target.platform.os(), target.platform.architecture(),
                                      target.platform.variant())
          : target.image_config;
  oci::ExportImage image = oci::export_of(oci::build_image(config, layers, image_options), layers,
                                          epoch.value_or(now()));
  image.descriptor_annotations = annotations.manifest_descriptor;
  image.platform = oci::normalize_platform(ops::to_oci(target.platform));
  co_return image;
}

/// The index of the images of all platforms.
oci::ExportImage make_index(const ExportOptions& options, const BuiltResult& result,
                            const std::vector<oci::ExportImage>& images) {
  std::vector<std::pair<oci::Platform, const oci::ExportImage*>> parts;
  for (std::size_t i = 0; i < images.size(); ++i) {
    parts.emplace_back(ops::to_oci(result.targets[i].platform), &images[i]);
  }
  Annotations const annotations = annotations_of(options, std::nullopt);
  oci::ExportImage index = oci::index_of(
      parts,
      {.oci_media_types = options.seal.oci_media_types, .annotations = annotations.index},
      images.front().created);
  index.descriptor_annotations = annotations.index_descriptor;
  return index;
}

/// The image, or the index of all platforms' images. `watcher` may be null.
Task<oci::ExportImage> make_images(const ExportOptions& options, const BuiltResult& result,
                                   Workspace& workspace, solve::StepSink& step,
                                   ops::PackWatcher* watcher = nullptr) {
  for (const auto& [platform, annotations] : options.annotations) {
    bool const is_lost = !annotations.manifest.empty() || !annotations.manifest_descriptor.empty();
    if (platform.empty() || result.is_multi_platform || !is_lost) continue;
    step.warn("annotations for " + platform +
              " have no effect on an image that is in no index: leave out the platform");
  }
  step.status("exporting layers", 0, 0, false);
  std::vector<oci::ExportImage> images;
  for (const BuiltTarget& target : result.targets) {
    std::optional<oci::Platform> platform;
    if (result.is_multi_platform) platform = ops::to_oci(target.platform);
    images.push_back(co_await make_image(options, target, std::move(platform), result, workspace, step,
                                         watcher));
  }
  step.status("exporting layers", 0, 0, true);
  for (const oci::ExportImage& image : images) {
    step.status("exporting manifest " + image.root.digest.to_string(), 0, 0, true);
    step.status("exporting config " + image.config->to_string(), 0, 0, true);
  }
  oci::ExportImage whole = images.front();
  if (result.is_multi_platform) {
    whole = make_index(options, result, images);
    step.status("exporting manifest list " + whole.root.digest.to_string(), 0, 0, true);
  }
  whole.names = options.names;
  co_return whole;
}

/// This machine knows the image by `names` from now on.
void keep_names(const std::vector<std::string>& names, const PushOptions& push,
                const oci::ExportImage& image, const BuiltResult& result, store::Store& store,
                solve::StepSink& step) {
  store::LayerChain layers;
  for (const BuiltTarget& target : result.targets) {
    layers.insert(layers.end(), target.layers.begin(), target.layers.end());
  }
  for (const std::string& text : names) {
    oci::Reference name = oci::Reference::parse(text);
    if (push.by_digest) name.tag.reset();
    if (!name.tag) name.digest = image.root.digest;
    if (!ops::keep_image(store, name, image, layers)) {
      step.warn(text + " is too large for the list of images: cobuild push cannot find it later");
      continue;
    }
    if (!push.canonical || !name.tag) continue;
    name.tag.reset();
    name.digest = image.root.digest;
    (void)ops::keep_image(store, std::move(name), image, layers);
  }
}

/// A push that failed, and what is left to do.
Error with_remedy(const Error& error, const PushOptions& push) {
  std::string what = std::string(error.what()) +
                     "; the image is built: the same command pushes it without building it again";
  if (push.store) what += ", and so does `cobuild push NAME`";
  return {error.kind(), std::move(what)};
}

/// As keep_and_push; `head_start` is null when nothing is pushed.
Task<void> keep_and_push_with(HeadStart* head_start, const ExportOptions& options,
                              BuiltResult& result, std::optional<Error>& push_failure,
                              Workspace& workspace, solve::StepSink& step) {
  const PushOptions& push = options.push;
  oci::ExportImage const image =
      co_await make_images(options, result, workspace, step, head_start);
  std::vector<std::string> const names = image_names(push, image.root.digest);
  for (auto& [key, value] : oci::export_response(image, false)) result.response[key] = value;
  if (!names.empty()) result.response["image.name"] = join_names(names);
  if (push.store) keep_names(names, push, image, result, *workspace.store, step);
  if (push.unpack) step.warn("unpack has no effect: no daemon has a place to unpack the image to");
  if (!push.push) {
    step.log(1, "the image stays in the store; push=true, or cobuild push, sends it to a registry\n");
    co_return;
  }
  if (workspace.early != nullptr) co_await workspace.early->join();
  std::vector<store::LayerChain> chains;
  for (const BuiltTarget& target : result.targets) chains.push_back(target.layers);
  try {
    co_await push_names(names, push, image, std::move(chains), workspace, step, head_start);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kCancelled) push_failure = with_remedy(error, push);
    throw;
  }
}

/// The image stays in the store and, if asked for, goes to registries.
Task<void> keep_and_push(ExportOptions options, BuiltResult& result,
                         std::optional<Error>& push_failure, Workspace& workspace,
                         solve::StepSink& step) {
  options.seal.leave_remote = true;
  HeadStart head_start(options.push, workspace, step);
  co_await with_cleanup(keep_and_push_with(options.push.push ? &head_start : nullptr, options,
                                           result, push_failure, workspace, step),
                        head_start.stop());
}

/// Runs a blocking writer to `output` on the pool, with its progress shown as `status`.
template <class Write>
Task<void> write_on_pool(const OutputOptions& output, Workspace& workspace, solve::StepSink& step,
                         std::string status, Write write) {
  step.status(status, 0, 0, false);
  auto work = [&write, &output] {
    Timings::Span const span(Phase::kExport);
    try {
      write();
    } catch (const Error& error) {
      Error const named = output.to_stdout() ? error.with_context("write to standard output") : error;
      throw explain_full_destination(named, output.destination);
    }
    return true;
  };
  co_await offload(workspace.runtime.pool(), work);
  step.status(status, 0, 0, true);
}

Task<void> export_image(const OutputOptions& output, const ExportOptions& options,
                        BuiltResult& result, Workspace& workspace, solve::StepSink& step) {
  oci::ExportImage const image = co_await make_images(options, result, workspace, step);
  store::Store& store = *workspace.store;
  auto open_blob = [&store](const BlobDigest& digest) {
    return open_file(store.blob_path(digest), O_RDONLY);
  };
  auto const format =
      output.type == "docker" ? oci::ArchiveFormat::kDocker : oci::ArchiveFormat::kOci;
  if (output.directory) {
    auto write = [&] {
      LimitedWriting const limited(workspace.output_rights);
      oci::write_image_layout(image, open_blob, output.destination);
    };
    co_await write_on_pool(output, workspace, step, "writing layout", write);
  } else if (output.load) {
    ImageLoader& loader = *workspace.loader;
    std::string said;
    auto write = [&] {
      said = loader.load([&](int fd) { oci::write_image_archive(image, format, open_blob, fd); });
    };
    co_await write_on_pool(output, workspace, step, "importing to " + loader.name(), write);
    step.log(1, said);
  } else if (output.to_stdout()) {
    auto write = [&] { oci::write_image_archive(image, format, open_blob, STDOUT_FILENO); };
    co_await write_on_pool(output, workspace, step, "sending tarball", write);
  } else {
    std::filesystem::path const path = output.destination;
    auto write = [&] {
      LimitedWriting const limited(workspace.output_rights);
      oci::write_image_archive(image, format, open_blob, path);
    };
    co_await write_on_pool(output, workspace, step, "sending tarball", write);
  }
  for (auto& [key, value] : oci::export_response(image, true)) result.response[key] = value;
}

Task<void> export_tree(const OutputOptions& output, const ExportOptions& options,
                       BuiltResult& result, Workspace& workspace, solve::StepSink& step) {
  std::vector<std::vector<std::filesystem::path>> lowers;
  for (const BuiltTarget& target : result.targets) {
    lowers.push_back(co_await workspace.fetcher.directories(target.layers, step));
  }
  oci::TreeExportOptions tree_options;
  tree_options.epoch = options.epoch_or(result.targets.front().epoch);
  if (options.delete_extra) tree_options.mode = oci::TreeExportOptions::Mode::kDelete;
  tree_options.split_platforms = options.platform_split.value_or(result.is_multi_platform);
  if (output.type == "tar") tree_options.split_platforms = result.is_multi_platform;  // F10.93
  auto write_trees = [&](const std::vector<oci::ExportTree>& trees) {
    if (output.type == "local") {
      // Whether this directory may be written to was asked before. What is in it is replaced, also
      // what belongs to the user's subordinate ids: containers leave such files.
      return oci::write_tree_directory(trees, tree_options, output.destination);
    }
    LimitedWriting const limited(workspace.output_rights);
    if (output.to_stdout()) {
      oci::write_tree_archive(trees, tree_options, STDOUT_FILENO);
    } else {
      oci::write_tree_archive(trees, tree_options, std::filesystem::path(output.destination));
    }
  };
  auto write = [&] {
    std::vector<std::unique_ptr<store::View>> views;
    std::vector<oci::ExportTree> trees;
    for (std::size_t i = 0; i < lowers.size(); ++i) {
      views.push_back(workspace.snapshotter->view(lowers[i]));
      std::string platform = dockerfile::format_platform(result.targets[i].platform);
      trees.push_back({views.back()->path(), std::move(platform)});
    }
    write_trees(trees);
    for (auto& view : views) view->close();
  };
  co_await write_on_pool(output, workspace, step,
                         output.type == "local" ? "copying files" : "sending tarball", write);
}

std::string step_name(const OutputOptions& output) {
  if (output.type == "local") return "exporting to client directory";
  if (output.type == "tar") return "exporting to client tarball";
  if (output.type == "image") return "exporting to image";
  return output.type == "docker" ? "exporting to docker image format"
                                 : "exporting to oci image format";
}

}  // namespace

bool wants_image_id(const BuildOptions& options) {
  return !options.iid_file.empty() ||
         (options.outputs.empty() && options.progress == ProgressMode::kQuiet);
}

void check_outputs(const std::vector<OutputOptions>& outputs, const BuiltResult& result) {
  for (const OutputOptions& output : outputs) {
    check_annotations(parse_export_options(output), platforms_of(result), result.is_multi_platform);
    if (output.type == "docker" && result.is_multi_platform) {
      refuse("docker exporter does not currently support exporting manifest lists: use type=oci, or "
             "build for one platform");
    }
  }
}

std::vector<oci::Platform> platforms_of(const BuiltResult& result) {
  std::vector<oci::Platform> platforms;
  for (const BuiltTarget& target : result.targets) {
    platforms.push_back(result.is_multi_platform ? ops::to_oci(target.platform)
                                                 : platform_of(target));
  }
  return platforms;
}

Task<void> identify_image(BuiltResult& result, Workspace& workspace, progress::Sink& progress) {
  ExportOptions const options;
  auto work = [&](InternalStep& step) { return make_images(options, result, workspace, step); };
  oci::ExportImage const image =
      co_await in_step<oci::ExportImage>(progress, "exporting to image", work);
  for (auto& [key, value] : oci::export_response(image, false)) result.response[key] = value;
}

Task<void> export_result(const OutputOptions& output, BuiltResult& result, Workspace& workspace,
                         progress::Sink& progress) {
  ExportOptions const options = parse_export_options(output);
  bool const tree = output.type == "local" || output.type == "tar";
  std::optional<Error> push_failure;
  auto work = [&](InternalStep& step) {
    for (const std::string& warning : std::exchange(result.warnings, {})) step.warn(warning);
    if (output.type == "image") {
      return keep_and_push(options, result, push_failure, workspace, step);
    }
    return tree ? export_tree(output, options, result, workspace, step)
                : export_image(output, options, result, workspace, step);
  };
  try {
    co_await in_step<void>(progress, step_name(output), work);
  } catch (const Error&) {
    if (!push_failure) throw;
    // The others go on: what was built is worth having.
    if (!result.push_failure) result.push_failure = push_failure;
  }
}

}  // namespace cobuild::cli
