#pragma once

#include <optional>

#include "core/base/error.hpp"
#include "oci/content.hpp"

namespace cobuild::test {

/// A registry that must not be asked.
class NoRegistry final : public oci::ContentSource {
 public:
  Task<std::optional<oci::ManifestContent>> fetch_manifest(oci::Reference) override {
    throw Error(ErrorKind::kInternal, "the registry was asked");
    co_return std::nullopt;
  }
  Task<void> fetch_blob(oci::Reference, oci::Descriptor, oci::BlobSink&,
                        oci::ResumePoint) override {
    throw Error(ErrorKind::kInternal, "the registry was asked");
    co_return;
  }
};

}  // namespace cobuild::test
