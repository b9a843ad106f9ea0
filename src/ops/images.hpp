#pragma once

/// Images by name: what a reference means now, and the layers it stands for.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/shared.hpp"
#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/llb/ops.pb.h"
#include "core/solve/op.hpp"
#include "core/store/store.hpp"
#include "oci/spec/platform.hpp"

namespace cobuild::ops {

/// One layer of an image, as its manifest and config describe it.
struct ImageLayer {
  BlobDigest blob;
  std::int64_t size = 0;  ///< Bytes, compressed.
  std::string media_type;
  DiffId diff_id;
  /// Where the blob is besides ResolvedImage::reference, as LayerBlob::sources has it; tried first.
  std::vector<std::string> sources = {};
  std::vector<std::string> urls{};                   ///< Where else it may be had.
  std::map<std::string, std::string> annotations{};  ///< Those that an image of it must have (F4.5.6).
};

/// An image for one platform. Nothing but its manifests and config has been fetched.
struct ResolvedImage {
  std::string reference;    ///< "docker.io/library/debian:12", without digest.
  Digest named_digest;      ///< Of what the reference names: a manifest or an index.
  Digest manifest_digest;   ///< Of the manifest for the platform.
  std::string config;       ///< The image config's bytes.
  std::vector<ImageLayer> layers;
  /// Why this is the image that the store keeps by that name, and not what a registry has; empty
  /// when it is not.
  std::string kept_reason = {};
};

/// F2.2.2.
enum class ResolveMode { kDefault, kPull, kLocal };

/// Where a layer's blob may be fetched from: a repository, or an OCI layout directory.
class Images {
 public:
  virtual ~Images() = default;

  /// What `reference` ("docker.io/library/debian:12", maybe with a digest) is for `platform`. Asked once
  /// for each pair in a build. An image that this store keeps by that name is what kLocal asks for,
  /// and what kDefault takes when the registry has none or cannot be asked (F2.2.2). \throws Error kNotFound, kDenied, kUnavailable, kCorrupt, kInvalidInput.
  virtual Task<ResolvedImage> resolve(std::string reference, pb::Platform platform,
                                      ResolveMode mode) = 0;

  /// The same for an image in the OCI layout directory named `layout` (F2.2.4), by digest.
  virtual Task<ResolvedImage> resolve_layout(std::string layout, std::string reference,
                                             pb::Platform platform) = 0;
};

/// The same platform in the words of the OCI specification.
[[nodiscard]] oci::Platform to_oci(const pb::Platform& platform);

/// Makes the layers known to the store; none is fetched. Leased. `description`: \see
/// store::Layer::description. `store` outlives the call.
Task<store::LayerChain> add_image_layers(store::Store& store, ResolvedImage image,
                                         std::string description, store::RecordKind kind);

/// An op for a docker-image or oci-layout source.
[[nodiscard]] std::unique_ptr<solve::Op> make_image_source(
    store::Store& store, Images& images, std::shared_ptr<const llb::Vertex> vertex);

}  // namespace cobuild::ops
