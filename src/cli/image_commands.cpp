#include "cli/image_commands.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/commands.hpp"
#include "cli/image_push.hpp"
#include "cli/image_table.hpp"
#include "cli/internal_step.hpp"
#include "cli/on_store.hpp"
#include "cli/progress_display.hpp"
#include "cli/workspace.hpp"
#include "core/async/runtime.hpp"
#include "core/base/error.hpp"
#include "core/llb/definition.hpp"
#include "oci/resolve.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/platform.hpp"
#include "ops/image_resolver.hpp"
#include "ops/kept_images.hpp"
#include "registry/client.hpp"

namespace cobuild::cli {
namespace {

Error no_such_image(const std::string& name) {
  return Error(ErrorKind::kNotFound,
               name + ": this machine has no such image: `cobuild images` lists those it has; build "
                      "--push, build -o type=image and pull add to them");
}

Task<ops::KeptImage> require_image(store::Store& store, std::string name) {
  auto image = co_await ops::find_kept_image(store, oci::Reference::parse(name));
  if (!image) throw no_such_image(name);
  co_return *std::move(image);
}

Task<int> images_body(Runtime& runtime, ImagesOptions options) {
  std::vector<ops::KeptImage> images;
  if (may_have_store(options.global)) {
    auto const store = open_store(runtime, options.global);
    images = ops::list_kept_images(*store);
    co_await store->publish();
  }
  std::string out;
  if (options.quiet) {
    for (const ops::KeptImage& image : images) out += image.name.familiar() + "\n";
  } else {
    out = options.json ? render_images_json(images) : render_images_table(images);
  }
  write_stdout(out);
  co_return 0;
}

Task<int> inspect_body(Runtime& runtime, InspectOptions options) {
  if (!may_have_store(options.global)) throw no_such_image(options.name);
  auto const store = open_store(runtime, options.global);
  ops::KeptImage const image = co_await require_image(*store, options.name);
  switch (options.what) {
    case InspectOptions::What::kSummary:
      write_stdout(render_image(
          image, [&store](const BlobDigest& digest) { return store->has_blob(digest); }));
      break;
    case InspectOptions::What::kManifest: write_stdout(raw_manifest(image)); break;
    case InspectOptions::What::kConfig: write_stdout(raw_config(image)); break;
    case InspectOptions::What::kReferrers: break;  // Nothing that a store knows.
  }
  co_return 0;
}

Task<int> referrers_body(Runtime& runtime, const InspectOptions& options) {
  std::function<void(std::string_view)> const in_silence;
  registry::Client client(runtime.loop().get_executor(), runtime.pool(),
                          read_registry_options(options.global, in_silence));
  oci::Reference const name = oci::Reference::parse(options.name);
  std::optional<BlobDigest> subject = name.digest;
  if (!subject) {
    auto const found = co_await client.describe_manifest(name);
    if (!found) throw Error(ErrorKind::kNotFound, name.to_string() + ": not found");
    subject = found->digest;
  }
  auto const referrers = co_await client.list_referrers(name, *subject, options.artifact_type);
  write_stdout(options.json ? render_referrers_json(referrers) : render_referrers_table(referrers));
  co_return 0;
}

/// The documents of an image that was resolved.
oci::ExportImage document_image(const oci::ResolvedImage& resolved) {
  const oci::Descriptor& config = resolved.manifest.config.value();
  return {.root = {.media_type = resolved.manifest_descriptor.media_type,
                   .digest = resolved.manifest_descriptor.digest,
                   .text = resolved.manifest_bytes},
          .documents = {{.media_type = config.media_type,
                         .digest = config.digest,
                         .text = resolved.config_bytes}},
          .layers = resolved.manifest.layers,
          .config = config.digest,
          .created = now(),
          .names = {},
          .descriptor_annotations = {},
          .platform = {}};
}

/// A name without an index leads to one image, whatever platform was asked for.
void check_platform(const oci::ResolvedImage& image, const oci::Platform& wanted) {
  oci::Platform const has = oci::parse_image_config(image.config_bytes).platform;
  if (oci::platform_runs(has, wanted)) return;
  throw Error(ErrorKind::kNotFound, image.reference.to_string() + " is for " +
                                        oci::format_platform_all(has) + ", not for " +
                                        oci::format_platform_all(wanted) +
                                        ": --platform says which one to pull");
}

Task<void> pull(oci::Reference name, oci::Platform platform, Workspace& workspace,
                solve::StepSink& step) {
  std::string const text = name.to_string();
  step.status("resolve " + text, 0, 0, false);
  oci::ResolvedImage resolved = co_await oci::resolve_image(workspace.registry, name, platform);
  check_platform(resolved, platform);
  step.status("resolve " + text, 0, 0, true);
  oci::ExportImage const image = document_image(resolved);
  ops::ResolvedImage simple = ops::simplify(std::move(resolved), name.name());
  store::LayerChain const layers =
      co_await ops::add_image_layers(*workspace.store, std::move(simple), "pulled from " + text,
                                     store::RecordKind::kRegular);
  co_await workspace.fetcher.fetch_blobs(layers, step);
  // A name with a digest of an index is kept by what was pulled of it.
  if (name.digest) name.digest = image.root.digest;
  if (!ops::keep_image(*workspace.store, std::move(name), image, layers)) {
    step.warn(text + " is too large for the list of images; its layers are here");
  }
}

/// Opens what `body(workspace, progress)` needs, and puts all away.
template <class Body>
Task<int> in_workspace(Runtime& runtime, GlobalOptions global, ProgressMode progress,
                       ops::Sandbox sandbox, Body body) {
  BuildOptions build;
  build.global = std::move(global);
  Workspace workspace(runtime, build, sandbox);
  ProgressDisplay display(runtime.loop(), {.mode = progress,
                                           .environment = process_environment(),
                                           .trace_file = {},
                                           .logs_directory = {}});
  std::exception_ptr failure;
  try {
    co_await body(workspace, display);
  } catch (...) {
    failure = std::current_exception();
  }
  co_await workspace.store->publish();
  display.finish();
  if (failure) std::rethrow_exception(failure);
  co_return 0;
}

Task<void> pull_body(Workspace& workspace, progress::Sink& progress, const PullOptions& options) {
  oci::Reference const name = oci::Reference::parse(options.name);
  oci::Platform const platform = options.platform.empty() ? ops::to_oci(llb::host_platform())
                                                          : oci::parse_platform(options.platform);
  auto work = [&](InternalStep& step) { return pull(name, platform, workspace, step); };
  co_await in_step<void>(progress, "pulling " + name.to_string(), work);
  co_await workspace.store->flush();
}

Task<void> push_body(Workspace& workspace, progress::Sink& progress,
                     const PushCommandOptions& options) {
  ops::KeptImage const kept = co_await require_image(*workspace.store, options.name);
  oci::Reference pushed = oci::Reference::parse(options.destination);
  auto work = [&](InternalStep& step) {
    PushOptions push;
    push.by_digest = !pushed.tag;
    std::vector<store::LayerChain> chains{kept.layers};
    return push_names({options.destination}, push, kept.image, std::move(chains), workspace, step);
  };
  co_await in_step<void>(progress, "pushing " + pushed.to_string(), work);
  pushed.digest = kept.image.root.digest;
  write_stdout(pushed.to_string() + "\n");
}

}  // namespace

int run_images(const ImagesOptions& options) {
  return run_on_store(options, images_body);
}

int run_inspect(const InspectOptions& options) {
  if (options.what == InspectOptions::What::kReferrers) {
    Runtime runtime;
    return runtime.run(referrers_body(runtime, options));
  }
  return run_on_store(options, inspect_body);
}

int run_pull(const PullOptions& options) {
  ops::Sandbox sandbox = ops::enter_sandbox({});
  Runtime runtime;
  auto body = [&](Workspace& workspace, progress::Sink& progress) {
    return pull_body(workspace, progress, options);
  };
  return runtime.run(
      in_workspace(runtime, options.global, options.progress, std::move(sandbox), body));
}

int run_push(const PushCommandOptions& options) {
  if (!may_have_store(options.global)) throw no_such_image(options.name);
  ops::Sandbox sandbox = ops::enter_sandbox({});
  Runtime runtime;
  auto body = [&](Workspace& workspace, progress::Sink& progress) {
    return push_body(workspace, progress, options);
  };
  return runtime.run(
      in_workspace(runtime, options.global, options.progress, std::move(sandbox), body));
}

}  // namespace cobuild::cli
