#pragma once

/// The blobs of a cache that is kept as single objects, as something that layers are fetched from.

#include <map>
#include <memory>
#include <string>

#include "core/base/digest.hpp"
#include "oci/content.hpp"
#include "oci/object_store.hpp"
#include "oci/spec/cache_config.hpp"

namespace cobuild::oci {

/// What a cache says of a layer that is no object of its own.
struct PackedLayer {
  CachePack pack;
  bool is_suspect = false;  ///< It was read there, and not found to be what it should be.
};
using PackedLayers = std::map<BlobDigest, PackedLayer>;

class ObjectSource final : public ContentSource {
 public:
  /// A blob's object is named by `blobs_prefix` and its digest, or, when it is among packed(), by
  /// that of its pack: then only its bytes are read.
  ObjectSource(std::shared_ptr<ObjectStore> store, std::string blobs_prefix);

  /// To be added to, at any time, by those who read what caches say. None is taken away.
  [[nodiscard]] PackedLayers& packed() noexcept { return packed_; }

  using ContentSource::fetch_blob;
  /// Objects have no manifests: always nullopt.
  Task<std::optional<ManifestContent>> fetch_manifest(Reference reference) override;
  Task<void> fetch_blob(Reference repository, Descriptor blob, BlobSink& sink,
                        ResumePoint resume) override;

 private:
  std::shared_ptr<ObjectStore> store_;
  std::string blobs_prefix_;
  PackedLayers packed_;
};

}  // namespace cobuild::oci
