#include "ops/image_resolver.hpp"

#include <boost/json.hpp>

#include <exception>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "oci/resolve.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/spec/reference.hpp"
#include "oci/stargz_toc.hpp"
#include "ops/kept_images.hpp"

namespace cobuild::ops {

oci::Platform to_oci(const pb::Platform& platform) {
  oci::Platform out;
  out.os = platform.os();
  out.architecture = platform.architecture();
  out.variant = platform.variant();
  out.os_version = platform.osversion();
  out.os_features.assign(platform.osfeatures().begin(), platform.osfeatures().end());
  return out;
}

namespace {

namespace json = boost::json;

constexpr std::string_view kManifestNotes =
    "image";  // manifest digest and platform -> ResolvedImage
constexpr std::string_view kNameNotes = "image-name";  // reference -> digest it last had

std::string note_key(const Digest& named, const pb::Platform& platform) {
  return named.to_string() + " " + oci::format_platform_all(to_oci(platform));
}

std::string encode(const ResolvedImage& image) {
  json::array layers;
  for (const ImageLayer& layer : image.layers) {
    layers.push_back({{"blob", layer.blob.to_string()},
                      {"size", layer.size},
                      {"mediaType", layer.media_type},
                      {"diffID", layer.diff_id.to_string()},
                      {"urls", json::value_from(layer.urls)},
                      {"annotations", json::value_from(layer.annotations)}});
  }
  return json::serialize(json::object{{"named", image.named_digest.to_string()},
                                      {"manifest", image.manifest_digest.to_string()},
                                      {"config", image.config},
                                      {"layers", std::move(layers)}});
}

/// nullopt for a note that is not what encode() writes: then the registry is asked again.
std::optional<ResolvedImage> decode(const std::string& text, std::string reference) {
  try {
    json::value const value = json::parse(text);
    ResolvedImage image{std::move(reference),
                        Digest::parse(value.at("named").as_string()),
                        Digest::parse(value.at("manifest").as_string()),
                        std::string(value.at("config").as_string()),
                        {}};
    for (const json::value& layer : value.at("layers").as_array()) {
      image.layers.push_back(ImageLayer{BlobDigest(Digest::parse(layer.at("blob").as_string())),
                                        layer.at("size").as_int64(),
                                        std::string(layer.at("mediaType").as_string()),
                                        DiffId(Digest::parse(layer.at("diffID").as_string()))});
      ImageLayer& last = image.layers.back();
      const json::object& members = layer.as_object();
      if (auto const* urls = members.if_contains("urls")) {
        last.urls = json::value_to<std::vector<std::string>>(*urls);
      }
      if (auto const* annotations = members.if_contains("annotations")) {
        last.annotations = json::value_to<std::map<std::string, std::string>>(*annotations);
      }
    }
    return image;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

/// Without them an eStargz layer is an ordinary one to those who could read its files one by one.
std::map<std::string, std::string> annotations_to_keep(const oci::Descriptor& layer) {
  std::map<std::string, std::string> kept;
  for (std::string_view const key : {oci::kStargzTocDigest, oci::kStargzUncompressedSize}) {
    auto const found = layer.annotations.find(std::string(key));
    if (found != layer.annotations.end()) kept.insert(*found);
  }
  return kept;
}

}  // namespace

bool ContentSources::can_fetch(const std::string& source) const {
  return !source.starts_with(kLayoutOrigin) ||
         layouts.contains(source.substr(kLayoutOrigin.size()));
}

ResolvedImage simplify(oci::ResolvedImage image, std::string origin) {
  oci::ImageConfig const config = oci::parse_image_config(image.config_bytes);
  if (config.diff_ids.size() != image.manifest.layers.size()) {
    throw Error(ErrorKind::kCorrupt, image.reference.to_string() + " has " +
                                         std::to_string(image.manifest.layers.size()) +
                                         " layers but its config lists " +
                                         std::to_string(config.diff_ids.size()) + " diff IDs");
  }
  ResolvedImage out{std::move(origin),
                    image.root.digest.digest(),
                    image.manifest_descriptor.digest.digest(),
                    std::move(image.config_bytes),
                    {}};
  for (std::size_t i = 0; i < config.diff_ids.size(); ++i) {
    const oci::Descriptor& layer = image.manifest.layers[i];
    out.layers.push_back(ImageLayer{layer.digest, static_cast<std::int64_t>(layer.size),
                                    layer.media_type, config.diff_ids[i], {}, layer.urls,
                                    annotations_to_keep(layer)});
  }
  return out;
}

ImageResolver::ImageResolver(asio::any_io_executor executor, store::Store& store,
                             const ContentSources& sources)
    : executor_(std::move(executor)), store_(store), sources_(sources) {}

Task<ResolvedImage> ImageResolver::resolve(std::string reference, pb::Platform platform,
                                           ResolveMode mode) {
  Key const key(reference, oci::format_platform_all(to_oci(platform)), static_cast<int>(mode));
  auto found = resolving_.find(key);
  if (found == resolving_.end()) {
    auto compute = [this, reference, platform, mode] {
      return resolve_now(reference, platform, mode);
    };
    found = resolving_.emplace(key, Shared<ResolvedImage>(executor_, compute)).first;
  }
  Shared<ResolvedImage> shared = found->second;  // The map may grow while we wait.
  co_return co_await shared.get();
}

Task<ResolvedImage> ImageResolver::resolve_now(std::string text, pb::Platform platform,
                                               ResolveMode mode) {
  Timings::Span const span(Phase::kResolve);
  oci::Reference const reference = oci::Reference::parse(text);
  if (reference.digest) {
    auto const kept = kept_.find({*reference.digest, oci::format_platform_all(to_oci(platform))});
    if (kept != kept_.end()) co_return kept->second;
  }
  std::optional<ResolvedImage> image;
  if (mode == ResolveMode::kLocal) image = co_await find_kept(reference, platform, "as asked for");
  if (image) co_return *std::move(image);
  std::exception_ptr failure;
  try {
    co_return co_await resolve_remote(reference, platform, mode);
  } catch (const Error& error) {
    if (mode != ResolveMode::kDefault || error.kind() == ErrorKind::kCancelled) throw;
    failure = std::current_exception();
    text = error.what();
  }
  image = co_await find_kept(reference, platform, std::move(text));
  if (!image) std::rethrow_exception(failure);
  co_return *std::move(image);
}

Task<std::optional<ResolvedImage>> ImageResolver::find_kept(oci::Reference reference,
                                                            pb::Platform platform,
                                                            std::string reason) {
  std::optional<KeptImage> const kept = co_await find_kept_image(store_, reference);
  if (!kept) co_return std::nullopt;
  auto const source = make_document_source(kept->image);
  std::string const origin = reference.name();
  ResolvedImage image = co_await fetch(source.get(), std::move(reference), platform, origin);
  image.kept_reason = std::move(reason);
  std::map<BlobDigest, std::vector<std::string>> sources;
  for (store::LayerId const id : kept->layers) {
    for (store::LayerBlob& blob : store_.get_layer(id).blobs) {
      sources.insert_or_assign(blob.digest, std::move(blob.sources));
    }
  }
  for (ImageLayer& layer : image.layers) layer.sources = sources[layer.blob];
  kept_.insert_or_assign(
      {BlobDigest(image.named_digest), oci::format_platform_all(to_oci(platform))}, image);
  co_return image;
}

Task<ResolvedImage> ImageResolver::resolve_remote(oci::Reference reference, pb::Platform platform,
                                                  ResolveMode mode) {
  if (!reference.digest && mode == ResolveMode::kLocal) {
    if (auto known = store_.get_note(kNameNotes, reference.to_string())) {
      reference.digest = BlobDigest(Digest::parse(*known));
    }
  }
  std::optional<Digest> named;
  if (reference.digest) {
    named = reference.digest->digest();
  } else {
    // Only the digest is asked for: most names mean what they meant in the last build.
    auto manifest = co_await sources_.describe(reference);
    if (!manifest) throw Error(ErrorKind::kNotFound, reference.to_string() + ": not found");
    named = manifest->digest.digest();
    store_.put_note(kNameNotes, reference.to_string(), named->to_string());
  }
  if (auto note = store_.get_note(kManifestNotes, note_key(*named, platform))) {
    if (auto image = decode(*note, reference.name())) co_return *std::move(image);
  }
  oci::Reference pinned = reference;
  pinned.digest = BlobDigest(*named);
  ResolvedImage image =
      co_await fetch(&sources_.registry, std::move(pinned), platform, reference.name());
  if (std::string note = encode(image); note.size() <= store::Store::kNoteBytesMax) {
    store_.put_note(kManifestNotes, note_key(*named, platform), note);
  }
  co_return image;
}

Task<ResolvedImage> ImageResolver::resolve_layout(std::string layout, std::string text,
                                                  pb::Platform platform) {
  Timings::Span const span(Phase::kResolve);
  oci::Reference reference = oci::Reference::parse(text);
  if (layout.empty()) layout = reference.repository.substr(reference.repository.rfind('/') + 1);
  auto found = sources_.layouts.find(layout);
  if (found == sources_.layouts.end()) {
    throw Error(ErrorKind::kNotFound, "no OCI layout is called " + layout +
                                          ": give it with --oci-layout " + layout + "=DIR");
  }
  if (!reference.digest) {
    throw Error(ErrorKind::kInvalidInput, "oci-layout reference \"" + text + "\" has no digest");
  }
  std::shared_ptr<oci::ContentSource> source = found->second;
  co_return co_await fetch(source.get(), std::move(reference), std::move(platform),
                           std::string(kLayoutOrigin) + layout);
}

Task<ResolvedImage> ImageResolver::fetch(oci::ContentSource* source, oci::Reference reference,
                                         pb::Platform platform, std::string origin) {
  oci::Platform wanted = to_oci(platform);
  oci::ResolvedImage image =
      co_await oci::resolve_image(*source, std::move(reference), std::move(wanted));
  co_return simplify(std::move(image), std::move(origin));
}

}  // namespace cobuild::ops
