#pragma once

/// Reading from a registry and its mirrors. \see oci::ContentSource for the promises.

#include <optional>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "registry/session.hpp"

namespace cobuild::registry {

/// `session` outlives the call.
Task<std::optional<oci::ManifestContent>> pull_manifest(Session& session, oci::Reference reference);

/// By HEAD; falls back to pull_manifest where the answer lacks digest, size or type.
Task<std::optional<oci::Descriptor>> describe_manifest(Session& session, oci::Reference reference);

/// `session` and `sink` outlive the call.
Task<void> pull_blob(Session& session, oci::Reference repository, oci::Descriptor blob,
                     oci::BlobSink& sink, oci::ResumePoint resume);

}  // namespace cobuild::registry
