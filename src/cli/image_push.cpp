#include "cli/image_push.hpp"

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "cli/head_start.hpp"
#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "oci/file_blob.hpp"
#include "oci/push_image.hpp"
#include "oci/spec/reference.hpp"
#include "ops/image_resolver.hpp"

namespace cobuild::cli {
namespace {

/// Notes of the repository of a registry that a blob was last pushed to.
constexpr std::string_view kPushedNotes = "pushed";

std::string note_key(const std::string& registry, const BlobDigest& digest) {
  return registry + " " + digest.to_string();
}

/// The blobs of the layers that were built, and of those below them, which may be elsewhere.
class StoreLayers final : public oci::LayerBlobs {
 public:
  StoreLayers(Workspace& workspace, solve::StepSink& step,
              const std::vector<store::LayerChain>& chains)
      : workspace_(workspace), step_(step) {
    for (const store::LayerChain& chain : chains) {
      for (store::LayerId const id : chain) {
        for (store::LayerBlob& blob : workspace_.store->get_layer(id).blobs) {
          places_.insert_or_assign(blob.digest, Place{id, std::move(blob.sources)});
        }
      }
    }
  }

  std::vector<std::string> repositories(const oci::Descriptor& layer,
                                        const std::string& registry) override {
    std::vector<std::string> found;
    auto const add = [&found](const std::string& repository) {
      if (std::ranges::find(found, repository) == found.end()) found.push_back(repository);
    };
    std::string const key = note_key(registry, layer.digest);
    if (auto const noted = workspace_.store->get_note(kPushedNotes, key)) add(*noted);
    auto const place = places_.find(layer.digest);
    if (place == places_.end()) return found;
    for (const std::string& source : place->second.sources) {
      if (source.starts_with(ops::kLayoutOrigin)) continue;
      auto const from = oci::Reference::try_parse(source);
      if (from && from->registry == registry) add(from->repository);
    }
    return found;
  }

  Task<std::unique_ptr<oci::BlobReader>> open(oci::Descriptor layer) override {
    store::Store& store = *workspace_.store;
    auto const place = places_.find(layer.digest);
    if (!store.has_blob(layer.digest) && place != places_.end()) {
      co_await workspace_.fetcher.fetch_blob(place->second.id, layer.digest, step_);
    }
    if (!store.has_blob(layer.digest)) {
      throw Error(ErrorKind::kNotFound, "the layer " + layer.digest.to_string() +
                                            " is no longer in the store: build the image again");
    }
    UniqueFd file = open_file(store.blob_path(layer.digest), O_RDONLY);
    co_return std::make_unique<oci::FileReader>(workspace_.runtime.pool(), std::move(file));
  }

 private:
  struct Place {
    store::LayerId id;
    std::vector<std::string> sources;
  };
  Workspace& workspace_;
  solve::StepSink& step_;
  std::map<BlobDigest, Place> places_;
};

/// "docker.io/library/a:1@sha256:…": what is pushed, as BuildKit names it.
std::string pushed_name(oci::Reference name, const oci::ExportImage& image, bool by_digest) {
  if (by_digest) return name.name();
  name.digest = image.root.digest;
  return name.to_string();
}

/// As Workspace::pushed has it.
std::string pushed_blob(const oci::Reference& name, const BlobDigest& digest) {
  return name.registry + "/" + name.repository + " " + digest.to_string();
}

Task<void> push_name(std::string text, const PushOptions& options, const oci::ExportImage& image,
                     StoreLayers& layers, HeadStart* head_start, Workspace& workspace,
                     solve::StepSink& step) {
  Timings::Span const span(Phase::kExport);
  oci::Reference name = oci::Reference::parse(text);
  if (options.by_digest) name.tag.reset();
  PushTarget const target(workspace, name.registry, options);
  std::string const manifest_status = "pushing manifest for " + pushed_name(name, image, options.by_digest);
  std::int64_t sent = 0;
  step.status("pushing layers", 0, 0, false);
  oci::PushProgress progress;
  progress.layer_bytes = [&](std::uint64_t bytes) {
    sent += static_cast<std::int64_t>(bytes);
    step.status("pushing layers", sent, 0, false);
  };
  progress.layers_done = [&] {
    step.status("pushing layers", sent, 0, true);
    step.status(manifest_status, 0, 0, false);
  };
  if (head_start != nullptr) {
    progress.is_there = [&](const oci::Descriptor& layer) {
      return head_start->wait_for(name, layer.digest);
    };
  }
  oci::ExportImage missing = image;
  std::erase_if(missing.layers, [&](const oci::Descriptor& layer) {
    return workspace.pushed.contains(pushed_blob(name, layer.digest));
  });
  co_await oci::push_image(target.client(), name, missing, layers, progress);
  step.status(manifest_status, 0, 0, true);
  for (const oci::Descriptor& layer : image.layers) note_pushed(workspace, name, layer.digest);
}

}  // namespace

PushTarget::PushTarget(Workspace& workspace, const std::string& registry,
                       const PushOptions& options)
    : insecure_(options.insecure ? workspace.make_insecure_client(registry) : nullptr),
      client_(insecure_ ? *insecure_ : workspace.registry) {}

void note_pushed(Workspace& workspace, const oci::Reference& name, const BlobDigest& digest) {
  workspace.pushed.insert(pushed_blob(name, digest));
  workspace.store->put_note(kPushedNotes, note_key(name.registry, digest), name.repository);
}

Task<void> push_names(std::vector<std::string> names, PushOptions options,
                      const oci::ExportImage& image, std::vector<store::LayerChain> chains,
                      Workspace& workspace, solve::StepSink& step, HeadStart* head_start) {
  StoreLayers layers(workspace, step, chains);
  for (const std::string& name : names) {
    try {
      co_await push_name(name, options, image, layers, head_start, workspace, step);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::kCancelled) throw;
      throw error.with_context("failed to push " + name);
    }
  }
}

std::unique_ptr<oci::LayerBlobs> open_layer_blobs(Workspace& workspace, solve::StepSink& step,
                                                  std::vector<store::LayerChain> chains) {
  return std::make_unique<StoreLayers>(workspace, step, chains);
}

Task<void> push_layer(PushOptions options, oci::Descriptor blob, store::LayerId id,
                      Workspace& workspace, solve::StepSink& step) {
  std::vector<store::LayerChain> const chains(1, store::LayerChain(1, id));
  StoreLayers layers(workspace, step, chains);
  std::string const status = "pushing layer " + blob.digest.to_string();
  std::int64_t sent = 0;
  oci::PushProgress progress;
  progress.layer_bytes = [&](std::uint64_t bytes) {
    sent += static_cast<std::int64_t>(bytes);
    step.status(status, sent, static_cast<std::int64_t>(blob.size), bytes == 0);
  };
  for (const std::string& text : options.names) {
    Timings::Span const span(Phase::kExport);
    oci::Reference repository = oci::Reference::parse(text);
    repository.tag.reset();
    repository.digest.reset();
    if (workspace.pushed.contains(pushed_blob(repository, blob.digest))) continue;
    PushTarget const target(workspace, repository.registry, options);
    sent = 0;
    co_await oci::push_layer(target.client(), repository, blob, layers, progress);
    note_pushed(workspace, repository, blob.digest);
  }
}

}  // namespace cobuild::cli
