#pragma once

/// Writing to a registry. \see oci::ContentTarget for the promises.

#include <memory>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "registry/session.hpp"

namespace cobuild::registry {

/// `session` outlives each call.
Task<bool> has_blob(Session& session, oci::Reference repository, BlobDigest digest);
Task<void> push_blob(Session& session, oci::Reference repository, oci::Descriptor blob,
                     oci::OpenBlob open, std::vector<std::string> mount_from);
Task<std::unique_ptr<oci::BlobPush>> begin_blob(Session& session, oci::Reference repository);
Task<void> push_manifest(Session& session, oci::Reference reference, oci::ManifestContent manifest);

}  // namespace cobuild::registry
