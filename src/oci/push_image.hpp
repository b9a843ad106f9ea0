#pragma once

/// An image, or the images of several platforms under an index, sent to a registry (F4.7).

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "oci/export_image.hpp"
#include "oci/spec/descriptor.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::oci {

/// The blobs of an image's layers, wherever they are.
class LayerBlobs {
 public:
  virtual ~LayerBlobs() = default;

  /// Repositories of `registry` that may have the blob: a push need not send it then.
  [[nodiscard]] virtual std::vector<std::string> repositories(const Descriptor& layer,
                                                              const std::string& registry) = 0;

  /// Starts reading the blob, which is fetched first when it is not here. \throws Error.
  virtual Task<std::unique_ptr<BlobReader>> open(Descriptor layer) = 0;
};

/// Told how a push goes on, and asked. Members may be empty.
struct PushProgress {
  /// Awaited for each layer: whether it is known to be there.
  std::function<Task<bool>(const Descriptor& layer)> is_there;
  std::function<void(std::uint64_t bytes)> layer_bytes;  ///< So many more were sent.
  std::function<void()> layers_done;                     ///< Configs, too; manifests follow.
};

/// Layers sent at once to a registry (F4.7.4).
inline constexpr std::size_t kLayerPushesMax = 4;

/// Sends one layer's blob to `repository`, unless it is there or may not be distributed; \see
/// push_image.
Task<void> push_layer(ContentTarget& target, Reference repository, Descriptor layer,
                      LayerBlobs& blobs, const PushProgress& progress);

/// Sends `image` to `name`, what it refers to first: layers, several at once, but none that may not
/// be distributed (F4.7.5), configs, the manifests of an index, and the root under the tag of
/// `name`; under its digest when `name` has no tag. What is passed by reference outlives the call.
/// \throws Error what `target` and `blobs` throw; whatever was sent until then stays there.
Task<void> push_image(ContentTarget& target, Reference name, const ExportImage& image,
                      LayerBlobs& blobs, PushProgress progress);

}  // namespace cobuild::oci
