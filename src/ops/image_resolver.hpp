#pragma once

/// Images from registries and OCI layout directories.

#include <boost/asio/any_io_executor.hpp>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "core/async/shared.hpp"
#include "core/store/store.hpp"
#include "oci/content.hpp"
#include "oci/resolve.hpp"
#include "ops/images.hpp"

namespace cobuild::ops {

/// Where content comes from in this build.
struct ContentSources {
  oci::ContentSource& registry;
  /// The digest that a name has now, by HEAD; nullopt when there is no such image.
  std::function<Task<std::optional<oci::Descriptor>>(oci::Reference)> describe;
  std::map<std::string, std::shared_ptr<oci::ContentSource>> layouts;  ///< --oci-layout, by name.

  /// Whether one of LayerBlob::sources can be asked in this build: a layout must have been given.
  [[nodiscard]] bool can_fetch(const std::string& source) const;
};

/// Asks each name once in a build. What a manifest digest stands for is remembered in the store, so a
/// warm build asks the registry one question for each tag, and none for a name with a digest.
class ImageResolver final : public Images {
 public:
  /// `store` and what `sources` refers to must outlive this.
  ImageResolver(asio::any_io_executor executor, store::Store& store, const ContentSources& sources);

  Task<ResolvedImage> resolve(std::string reference, pb::Platform platform,
                              ResolveMode mode) override;
  Task<ResolvedImage> resolve_layout(std::string layout, std::string reference,
                                     pb::Platform platform) override;

 private:
  using Key = std::tuple<std::string, std::string, int>;  // reference, platform, mode
  Task<ResolvedImage> resolve_now(std::string reference, pb::Platform platform, ResolveMode mode);
  /// Of a registry, or of what it said before.
  Task<ResolvedImage> resolve_remote(oci::Reference reference, pb::Platform platform,
                                     ResolveMode mode);
  /// What the store keeps by that name (\see ResolvedImage::kept_reason).
  Task<std::optional<ResolvedImage>> find_kept(oci::Reference reference, pb::Platform platform,
                                               std::string reason);
  Task<ResolvedImage> fetch(oci::ContentSource* source, oci::Reference reference,
                            pb::Platform platform, std::string origin);

  asio::any_io_executor executor_;
  store::Store& store_;
  const ContentSources& sources_;
  std::map<Key, Shared<ResolvedImage>> resolving_;
  /// What this store was found to keep, by digest and platform: a frontend asks by tag, and the
  /// vertex then by digest.
  std::map<std::pair<BlobDigest, std::string>, ResolvedImage> kept_;
};

/// What a build needs of an image that is in the repository or layout `origin`.
/// \throws Error kCorrupt when its config and manifest do not match.
[[nodiscard]] ResolvedImage simplify(oci::ResolvedImage image, std::string origin);

/// The prefix of LayerBlob::sources for blobs of an OCI layout directory; its name follows.
inline constexpr std::string_view kLayoutOrigin = "oci-layout://";

}  // namespace cobuild::ops
