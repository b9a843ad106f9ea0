#include "oci/export_index.hpp"

#include <openssl/evp.h>

#include <boost/json.hpp>

#include <utility>

#include "oci/base64.hpp"
#include "oci/output_file.hpp"
#include "oci/spec/json_text.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::oci {

namespace json = boost::json;

namespace {

constexpr const char* kCreatedAnnotation = "org.opencontainers.image.created";
constexpr const char* kRefNameAnnotation = "org.opencontainers.image.ref.name";
constexpr const char* kImageNameAnnotation = "io.containerd.image.name";

std::optional<std::string> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::size_t const end = text.find('=');
  std::size_t const padding = end == std::string_view::npos ? 0 : text.size() - end;
  if (padding > 2 || text.substr(0, end).find_first_not_of(kAlphabet) != std::string_view::npos) {
    return std::nullopt;
  }
  if (padding == 2 && text.back() != '=') return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  if (EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(text.data()),
                      static_cast<int>(text.size())) < 0) {
    return std::nullopt;
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

/// The object that `value` is the base64 of, if it is one with members.
std::optional<json::value> embedded_object(const std::string& value) {
  std::optional<std::string> const text = from_base64(value);
  if (!text) return std::nullopt;
  boost::system::error_code error;
  json::value parsed = json::parse(*text, error);
  if (error || !parsed.is_object() || parsed.get_object().empty()) return std::nullopt;
  return parsed;
}

/// Seconds only, as BuildKit writes this annotation.
std::string format_seconds(Timestamp time) {
  return format_rfc3339(std::chrono::floor<std::chrono::seconds>(time));
}

}  // namespace

Descriptor describe(std::string media_type, const BlobDigest& digest, std::uint64_t size) {
  return {.media_type = std::move(media_type),
          .digest = digest,
          .size = size,
          .urls = {},
          .annotations = {},
          .platform = {},
          .artifact_type = {},
          .data = {}};
}

std::string oci_reference_name(std::string_view name) {
  std::size_t const slash = name.find('/');
  std::size_t const at = name.find_first_of(":@", slash == std::string_view::npos ? 0 : slash);
  if (at == std::string_view::npos || name[at] == '@') return std::string(name);
  return std::string(name.substr(at + 1));
}

ExportImage export_of(BuiltImage image, const std::vector<ImageLayer>& layers, Timestamp created) {
  ExportImage out{.root = {.media_type = std::move(image.manifest_media_type),
                           .digest = image.manifest_digest,
                           .text = std::move(image.manifest)},
                  .documents = {},
                  .layers = {},
                  .config = image.config_digest,
                  .created = created,
                  .names = {},
                  .descriptor_annotations = {},
                  .platform = {}};
  out.documents.push_back({.media_type = std::move(image.config_media_type),
                           .digest = image.config_digest,
                           .text = std::move(image.config)});
  for (const ImageLayer& layer : layers) {
    out.layers.push_back(describe(layer.media_type, layer.blob_digest,
                                  static_cast<std::uint64_t>(layer.blob_bytes)));
  }
  return out;
}

ExportImage index_of(const std::vector<std::pair<Platform, const ExportImage*>>& images,
                     IndexOptions options, Timestamp created) {
  Index index;
  index.media_type = std::string(options.oci_media_types ? kOciIndex : kDockerIndex);
  index.annotations = std::move(options.annotations);
  std::vector<ExportDocument> documents;
  std::vector<Descriptor> layers;
  for (const auto& [platform, image] : images) {
    Descriptor manifest =
        describe(image->root.media_type, image->root.digest, image->root.text.size());
    manifest.annotations = image->descriptor_annotations;
    manifest.platform = platform;
    index.manifests.push_back(std::move(manifest));
    documents.insert(documents.end(), image->documents.begin(), image->documents.end());
    documents.push_back(image->root);
    layers.insert(layers.end(), image->layers.begin(), image->layers.end());
  }
  std::string text = to_json(index);
  BlobDigest const digest(Digest::of(text));
  return {.root = {.media_type = index.media_type, .digest = digest, .text = std::move(text)},
          .documents = std::move(documents),
          .layers = std::move(layers),
          .config = {},
          .created = created,
          .names = {},
          .descriptor_annotations = {},
          .platform = {}};
}

Descriptor root_descriptor(const ExportImage& image) {
  Descriptor descriptor =
      describe(image.root.media_type, image.root.digest, image.root.text.size());
  descriptor.annotations = image.descriptor_annotations;
  descriptor.platform = image.platform;
  descriptor.annotations.try_emplace(kCreatedAnnotation, format_seconds(image.created));
  return descriptor;
}

Descriptor with_name(Descriptor manifest, const std::string& name) {
  manifest.annotations[kImageNameAnnotation] = name;
  manifest.annotations[kRefNameAnnotation] = oci_reference_name(name);
  return manifest;
}

std::vector<Descriptor> named_descriptors(const ExportImage& image) {
  std::vector<Descriptor> descriptors;
  for (const std::string& name : image.names) {
    descriptors.push_back(with_name(root_descriptor(image), name));
  }
  if (descriptors.empty()) descriptors.push_back(root_descriptor(image));
  return descriptors;
}

std::string index_text(const Index& index) {
  return to_compact_text(parse_json(to_json(index), "index"));
}

std::map<std::string, std::string> export_response(const ExportImage& image, bool is_archived) {
  std::map<std::string, std::string> response;
  response["containerimage.digest"] = image.root.digest.to_string();
  if (image.config) response["containerimage.config.digest"] = image.config->to_string();
  Descriptor root = root_descriptor(image);
  if (!is_archived) root.annotations = image.descriptor_annotations;
  response["containerimage.descriptor"] = to_base64(to_json(root));
  std::string names;
  for (const std::string& name : image.names) names += (names.empty() ? "" : ",") + name;
  if (!names.empty()) response["image.name"] = names;
  return response;
}

std::string metadata_json(const std::map<std::string, std::string>& response) {
  json::object object;
  for (const auto& [key, value] : response) {
    std::optional<json::value> embedded = embedded_object(value);
    object[key] = embedded ? std::move(*embedded) : json::value(value);
  }
  return to_indented_text(std::move(object));
}

void write_metadata_file(const std::filesystem::path& path,
                         const std::map<std::string, std::string>& response) {
  OutputFile file(path, 0666);
  write_fully(file.fd(), metadata_json(response), path.string());
  file.commit();
}

}  // namespace cobuild::oci
