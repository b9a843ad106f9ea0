#include "oci/resolve.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::oci {
namespace {

class TextSink final : public BlobSink {
 public:
  explicit TextSink(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  Task<void> write(std::span<const std::byte> chunk) override {
    if (chunk.size() > bytes_max_ - text.size()) {
      throw Error(ErrorKind::kCorrupt, "longer than " + std::to_string(bytes_max_) + " bytes");
    }
    text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    co_return;
  }

  Task<bool> restart() override {
    text.clear();
    co_return true;
  }

  std::string text;

 private:
  std::size_t bytes_max_;
};

Error not_found(const Reference& reference) {
  return Error(ErrorKind::kNotFound, reference.to_string() + ": not found");
}

/// For those who asked for a platform that the image does not have: those that it has.
std::string list_platforms(const Index& index) {
  std::string text;
  for (const Descriptor& manifest : index.manifests) {
    // "unknown" is what attestations are filed under.
    if (!manifest.platform || manifest.platform->os == "unknown") continue;
    text += (text.empty() ? "" : ", ") + format_platform_all(*manifest.platform);
  }
  return text;
}

Error no_match(const Descriptor& root, const Index& index, const Platform& platform) {
  std::string text = "no match for platform in manifest " + root.digest.to_string() +
                     ": not found: it has no " + format_platform_all(platform);
  std::string const offered = list_platforms(index);
  if (!offered.empty()) text += ", but " + offered;
  return Error(ErrorKind::kNotFound, std::move(text));
}

Task<ManifestContent> fetch_by_digest(ContentSource& source, Reference reference,
                                      BlobDigest digest) {
  reference.tag.reset();
  reference.digest = digest;
  Reference const asked = reference;
  auto content = co_await source.fetch_manifest(std::move(reference));
  if (!content) throw not_found(asked);
  co_return std::move(*content);
}

Task<std::string> fetch_config(ContentSource& source, Reference reference,
                               const Manifest& manifest) {
  if (!manifest.config) {
    throw Error(ErrorKind::kUnsupported, reference.to_string() + " has no image config");
  }
  Descriptor config = *manifest.config;
  if (config.size > kImageConfigBytesMax) {
    throw Error(ErrorKind::kCorrupt, "image config of " + reference.to_string() +
                                         " is longer than " + std::to_string(kImageConfigBytesMax) +
                                         " bytes");
  }
  co_return co_await fetch_small_blob(source, std::move(reference), std::move(config),
                                      kImageConfigBytesMax);
}

/// A manifest and its config, fetched.
struct Candidate {
  ManifestContent content;
  Manifest manifest;
  std::string config;
};

Task<Candidate> load(ContentSource& source, Reference reference, ManifestContent content) {
  Manifest manifest = parse_manifest(content.bytes);
  std::string config = co_await fetch_config(source, std::move(reference), manifest);
  co_return Candidate{std::move(content), std::move(manifest), std::move(config)};
}

/// The best manifest under `content`, or nullopt when an entry without a platform turns out to be
/// for another one.
Task<std::optional<Candidate>> descend(ContentSource& source, Reference reference,
                                       ManifestContent content, Platform platform,
                                       std::size_t depth) {
  if (!is_index_type(content.descriptor.media_type)) {
    co_return co_await load(source, std::move(reference), std::move(content));
  }
  if (depth >= kIndexDepthMax) {
    throw Error(ErrorKind::kUnsupported, reference.to_string() +
                                             ": image indexes nested deeper than " +
                                             std::to_string(kIndexDepthMax));
  }
  Index const index = parse_index(content.bytes);
  for (const Descriptor* entry : rank_for_platform(index.manifests, platform)) {
    if (!is_index_type(entry->media_type) && !is_manifest_type(entry->media_type)) continue;
    auto next = co_await fetch_by_digest(source, reference, entry->digest);
    auto found = co_await descend(source, reference, std::move(next), platform, depth + 1);
    if (!found) continue;
    bool const named = entry->platform.has_value() || is_index_type(entry->media_type);
    if (named || platform_runs(parse_image_config(found->config).platform, platform)) {
      co_return found;
    }
  }
  if (depth == 0) throw no_match(content.descriptor, index, platform);
  co_return std::nullopt;
}

}  // namespace

Task<std::string> fetch_small_blob(ContentSource& source, Reference repository, Descriptor blob,
                                   std::size_t bytes_max) {
  if (blob.size > bytes_max) {
    throw Error(ErrorKind::kCorrupt, "blob " + blob.digest.to_string() + " is longer than " +
                                         std::to_string(bytes_max) + " bytes");
  }
  TextSink sink(bytes_max);
  co_await source.fetch_blob(std::move(repository), std::move(blob), sink);
  co_return std::move(sink.text);
}

Task<ResolvedImage> resolve_image(ContentSource& source, Reference reference, Platform platform) {
  auto content = co_await source.fetch_manifest(reference);
  if (!content) throw not_found(reference);
  Descriptor root = content->descriptor;
  auto found = co_await descend(source, reference, std::move(*content), std::move(platform), 0);
  ResolvedImage image{.reference = std::move(reference),
                      .root = std::move(root),
                      .manifest_descriptor = std::move(found->content.descriptor),
                      .manifest_bytes = std::move(found->content.bytes),
                      .manifest = std::move(found->manifest),
                      .config_bytes = std::move(found->config)};
  co_return image;
}

}  // namespace cobuild::oci
