#pragma once

/// What refers to an image: signatures, lists of what is in it. The referrers API of the OCI
/// distribution spec 1.1, and for registries without it the index at a tag named after the digest.

#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "registry/session.hpp"

namespace cobuild::registry {

/// The manifests of `repository` whose subject is `subject`; with `artifact_type`, unless that is
/// empty, only those of this type. Asks the registry itself: mirrors need not have them. A page is
/// at most oci::kManifestBytesMax long; the number of pages is bounded, too. `session` outlives the
/// call. \throws Error as the client does; kCorrupt for what is no index and for a list without end.
Task<std::vector<oci::Descriptor>> list_referrers(Session& session, oci::Reference repository,
                                                  BlobDigest subject, std::string artifact_type);

/// A manifest that refers to another one, as lists of referrers have it.
struct Referrer {
  BlobDigest subject;
  oci::Descriptor descriptor;
};

/// nullopt for a manifest or index without a subject. \throws Error kCorrupt.
[[nodiscard]] std::optional<Referrer> referrer_of(const oci::ManifestContent& manifest);

/// For a registry that did not say, when `referrer` was put there, that it lists referrers: adds it
/// to the index at the tag, once. What others add meanwhile stays where the registry heeds
/// If-Match; elsewhere only what was overwritten before this returns is noticed. `session` outlives
/// the call. \throws Error; kUnavailable when others change the index all the time.
Task<void> add_to_fallback(Session& session, Endpoint endpoint, Referrer referrer);

/// Where a Link header says that the next page is, not resolved; nullopt when none does.
[[nodiscard]] std::optional<std::string> next_page(const Headers& headers);

}  // namespace cobuild::registry
