#include "cli/image_table.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <string_view>
#include <utility>

#include "cli/text_table.hpp"
#include "core/base/error.hpp"
#include "core/base/units.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/json_text.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kColumnGap = 3;
constexpr std::size_t kForeignTextMax = 100;  ///< Characters of a cell.
constexpr std::string_view kCreated = "org.opencontainers.image.created";

/// An image for one platform.
struct PlatformImage {
  const oci::ExportDocument* manifest;
  const oci::ExportDocument* config;
  std::string platform;
};

const oci::ExportDocument* find(const oci::ExportImage& image, const BlobDigest& digest) {
  auto const found = std::ranges::find(image.documents, digest, &oci::ExportDocument::digest);
  return found == image.documents.end() ? nullptr : &*found;
}

void add_platform(const oci::ExportImage& image, const oci::ExportDocument* manifest,
                  std::vector<PlatformImage>& out) {
  if (manifest == nullptr) return;
  auto const config = oci::parse_manifest(manifest->text).config;
  const oci::ExportDocument* const document = config ? find(image, config->digest) : nullptr;
  if (document == nullptr) return;  // an attestation
  oci::Platform const platform = oci::parse_image_config(document->text).platform;
  out.push_back({manifest, document, oci::format_platform_all(platform)});
}

std::vector<PlatformImage> platforms_of(const oci::ExportImage& image) {
  std::vector<PlatformImage> platforms;
  if (!oci::is_index_type(image.root.media_type)) {
    add_platform(image, &image.root, platforms);
    return platforms;
  }
  for (const oci::Descriptor& entry : oci::parse_index(image.root.text).manifests) {
    add_platform(image, find(image, entry.digest), platforms);
  }
  return platforms;
}

std::uint64_t size_of(const oci::ExportImage& image) {
  std::map<BlobDigest, std::uint64_t> sizes{{image.root.digest, image.root.text.size()}};
  for (const auto& document : image.documents) sizes[document.digest] = document.text.size();
  for (const auto& layer : image.layers) sizes[layer.digest] = layer.size;
  std::uint64_t sum = 0;
  for (const auto& [digest, size] : sizes) sum += size;
  return sum;
}

std::string time_of(const ops::KeptImage& image) {
  return format_rfc3339(std::chrono::floor<std::chrono::seconds>(image.kept_at));
}

json::object summary_of(const ops::KeptImage& image) {
  json::array platforms;
  for (const PlatformImage& one : platforms_of(image.image)) platforms.emplace_back(one.platform);
  return {{"name", image.name.to_string()},
          {"digest", image.image.root.digest.to_string()},
          {"mediaType", image.image.root.media_type},
          {"platforms", std::move(platforms)},
          {"keptAt", time_of(image)},
          {"size", size_of(image.image)}};
}

json::array layers_of(const PlatformImage& image,
                      const std::function<bool(const BlobDigest&)>& here) {
  oci::Manifest const manifest = oci::parse_manifest(image.manifest->text);
  std::vector<DiffId> const diff_ids = oci::parse_image_config(image.config->text).diff_ids;
  json::array layers;
  for (std::size_t i = 0; i < manifest.layers.size(); ++i) {
    const oci::Descriptor& layer = manifest.layers[i];
    json::object object{{"digest", layer.digest.to_string()},
                        {"size", layer.size},
                        {"mediaType", layer.media_type}};
    if (i < diff_ids.size()) object["diffID"] = diff_ids[i].to_string();
    object["here"] = here(layer.digest);
    layers.emplace_back(std::move(object));
  }
  return layers;
}

}  // namespace

std::string render_images_table(const std::vector<ops::KeptImage>& images) {
  constexpr std::size_t kShortDigest = std::string_view("sha256:").size() + 12;
  std::string out = "NAME\tDIGEST\tPLATFORM\tKEPT SINCE\tSIZE\n";
  for (const ops::KeptImage& image : images) {
    std::string platforms;
    for (const PlatformImage& one : platforms_of(image.image)) {
      platforms += (platforms.empty() ? "" : ",") + one.platform;
    }
    out += image.name.familiar() + "\t" +
           image.image.root.digest.to_string().substr(0, kShortDigest) + "\t" + platforms + "\t" +
           time_of(image) + "\t" + format_bytes(static_cast<std::int64_t>(size_of(image.image))) +
           "\n";
  }
  return align_blanks(out, kColumnGap);
}

std::string render_images_json(const std::vector<ops::KeptImage>& images) {
  std::string out;
  for (const ops::KeptImage& image : images) out += json::serialize(summary_of(image)) + "\n";
  return out;
}

std::string render_image(const ops::KeptImage& image,
                         const std::function<bool(const BlobDigest&)>& here) {
  json::object object = summary_of(image);
  object.erase("platforms");
  json::array images;
  for (const PlatformImage& one : platforms_of(image.image)) {
    images.push_back(json::object{{"platform", one.platform},
                                  {"digest", one.manifest->digest.to_string()},
                                  {"configDigest", one.config->digest.to_string()},
                                  {"config", json::parse(one.config->text)},
                                  {"layers", layers_of(one, here)}});
  }
  object["images"] = std::move(images);
  return oci::to_indented_text(object) + "\n";
}

std::string raw_manifest(const ops::KeptImage& image) {
  return image.image.root.text;
}

std::string raw_config(const ops::KeptImage& image) {
  std::vector<PlatformImage> const platforms = platforms_of(image.image);
  if (platforms.empty()) {
    throw Error(ErrorKind::kNotFound, image.name.familiar() + " has no image config");
  }
  return platforms.front().config->text;
}

std::string render_referrers_table(const std::vector<oci::Descriptor>& referrers) {
  std::string out = "DIGEST\tARTIFACT TYPE\tSIZE\tCREATED\n";
  for (const oci::Descriptor& one : referrers) {
    auto const created = one.annotations.find(std::string(kCreated));
    out += one.digest.to_string() + "\t" + printable(one.artifact_type, kForeignTextMax) + "\t" +
           format_bytes(static_cast<std::int64_t>(one.size)) + "\t" +
           (created == one.annotations.end() ? "" : printable(created->second, kForeignTextMax)) +
           "\n";
  }
  return align_blanks(out, kColumnGap);
}

std::string render_referrers_json(const std::vector<oci::Descriptor>& referrers) {
  std::string out;
  for (const oci::Descriptor& one : referrers) out += oci::to_json(one) + "\n";
  return out;
}

}  // namespace cobuild::cli
