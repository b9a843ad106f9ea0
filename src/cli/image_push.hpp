#pragma once

/// A built image to registries.

#include <memory>
#include <string>
#include <vector>

#include "cli/push_options.hpp"
#include "cli/workspace.hpp"
#include "core/async/task.hpp"
#include "core/solve/op.hpp"
#include "core/store/types.hpp"
#include "oci/export_image.hpp"
#include "oci/push_image.hpp"
#include "oci/spec/descriptor.hpp"

namespace cobuild::cli {

class HeadStart;

/// Where images of one registry are pushed to.
class PushTarget {
 public:
  /// `workspace` outlives this.
  PushTarget(Workspace& workspace, const std::string& registry, const PushOptions& options);

  [[nodiscard]] oci::ContentTarget& client() const noexcept { return client_; }

 private:
  std::unique_ptr<registry::Client> insecure_;
  oci::ContentTarget& client_;
};

/// Remembers that the repository of `name` has the blob: for this build and for later ones.
void note_pushed(Workspace& workspace, const oci::Reference& name, const BlobDigest& digest);

/// Pushes `image`, made of `chains`, under each of `names`, one after the other. A layer that is
/// not here is fetched only when the registry neither has it nor can take it from a repository of
/// its own; one that has a head start is waited for. Shows on `step` what it does. What is passed by
/// reference outlives the call.
/// \throws Error "failed to push NAME: ...".
Task<void> push_names(std::vector<std::string> names, PushOptions options,
                      const oci::ExportImage& image, std::vector<store::LayerChain> chains,
                      Workspace& workspace, solve::StepSink& step,
                      HeadStart* head_start = nullptr);

/// Sends the blob of layer `id`, which is here, to where an image with it will be pushed: to all
/// names in `options`. push_names does not send it again. What is passed by reference outlives the
/// call.
/// \throws Error.
Task<void> push_layer(PushOptions options, oci::Descriptor blob, store::LayerId id,
                      Workspace& workspace, solve::StepSink& step);

/// The blobs of the layers of `chains`, each fetched when it is opened and not here. `workspace` and
/// `step` outlive it.
[[nodiscard]] std::unique_ptr<oci::LayerBlobs> open_layer_blobs(
    Workspace& workspace, solve::StepSink& step, std::vector<store::LayerChain> chains);

}  // namespace cobuild::cli
