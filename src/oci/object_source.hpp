#pragma once

/// The blobs of a cache that is kept as single objects, as something that layers are fetched from.

#include <memory>
#include <string>

#include "oci/content.hpp"
#include "oci/object_store.hpp"

namespace cobuild::oci {

class ObjectSource final : public ContentSource {
 public:
  /// A blob's object is named by `blobs_prefix` and its digest.
  ObjectSource(std::shared_ptr<ObjectStore> store, std::string blobs_prefix);

  using ContentSource::fetch_blob;
  /// Objects have no manifests: always nullopt.
  Task<std::optional<ManifestContent>> fetch_manifest(Reference reference) override;
  Task<void> fetch_blob(Reference repository, Descriptor blob, BlobSink& sink,
                        ResumePoint resume) override;

 private:
  std::shared_ptr<ObjectStore> store_;
  std::string blobs_prefix_;
};

}  // namespace cobuild::oci
