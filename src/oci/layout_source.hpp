#pragma once

/// An OCI layout directory (index.json, blobs/sha256/…) as a source of images.

#include <boost/asio/thread_pool.hpp>

#include <filesystem>

#include "oci/content.hpp"

namespace cobuild::oci {

class LayoutSource final : public ContentSource {
 public:
  /// `directory` is read when asked, on `pool`, which must outlive this. Names are looked up in
  /// index.json by org.opencontainers.image.ref.name or io.containerd.image.name; registry and
  /// repository of a reference do not count, only its digest or tag. Without a match by name a
  /// layout with one image gives that one for the tag "latest".
  LayoutSource(std::filesystem::path directory, asio::thread_pool& pool);

  using ContentSource::fetch_blob;
  /// \throws Error kNotFound naming the directory when it is no OCI layout.
  Task<std::optional<ManifestContent>> fetch_manifest(Reference reference) override;
  Task<void> fetch_blob(Reference repository, Descriptor blob, BlobSink& sink,
                        ResumePoint resume) override;

 private:
  std::filesystem::path directory_;
  asio::thread_pool& pool_;
};

}  // namespace cobuild::oci
