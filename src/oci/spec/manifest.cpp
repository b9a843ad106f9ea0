#include "oci/spec/manifest.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <utility>

#include "core/base/error.hpp"
#include "oci/spec/descriptor_json.hpp"
#include "oci/spec/json_members.hpp"
#include "oci/spec/json_text.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::oci {
namespace {

namespace json = boost::json;

constexpr int kSchemaVersion = 2;

json::value parse_bounded(std::string_view text, std::string_view what) {
  if (text.size() > kManifestBytesMax) {
    throw Error(ErrorKind::kCorrupt, std::string(what) + " is longer than " +
                                         std::to_string(kManifestBytesMax) + " bytes");
  }
  return parse_json(text, what);
}

/// A document of one kind under the media type of the other is an attack on whoever trusts the
/// type.
void refuse_other_kind(const Members& members, std::string_view what, std::string_view foreign) {
  if (members.find(foreign)) {
    throw Error(ErrorKind::kCorrupt, std::string(what) + " has a member \"" + std::string(foreign) +
                                         "\", which it must not have");
  }
}

void refuse_schema_1(const Members& members) {
  if (members.integer("schemaVersion") == 1) {
    throw Error(ErrorKind::kUnsupported,
                "image manifest has Docker's schema version 1, which is no longer supported: "
                "rebuild and push the image with a current tool");
  }
}

std::optional<Descriptor> read_optional(const Members& members, std::string_view name) {
  const json::value* value = members.find(name);
  if (!value) return std::nullopt;
  return read_descriptor(*value, members.path_of(name));
}

void write_start(const std::string& media_type, const std::string& artifact_type,
                 json::object& object) {
  object["schemaVersion"] = kSchemaVersion;
  if (!media_type.empty()) object["mediaType"] = media_type;
  if (!artifact_type.empty()) object["artifactType"] = artifact_type;
}

void write_end(const std::optional<Descriptor>& subject,
               const std::map<std::string, std::string>& annotations, json::object& object) {
  if (subject) object["subject"] = write_descriptor(*subject);
  if (!annotations.empty()) object["annotations"] = write_text_map(annotations);
}

/// As Go writes a list that nothing was appended to: null.
json::value write_descriptors(const std::vector<Descriptor>& descriptors) {
  if (descriptors.empty()) return nullptr;
  json::array items;
  for (const Descriptor& descriptor : descriptors) items.push_back(write_descriptor(descriptor));
  return items;
}

}  // namespace

Manifest parse_manifest(std::string_view text) {
  json::value const value = parse_bounded(text, "image manifest");
  Members const members(value, "manifest");
  refuse_schema_1(members);
  refuse_other_kind(members, "image manifest", "manifests");
  Manifest manifest;
  manifest.media_type = members.text("mediaType");
  manifest.artifact_type = members.text("artifactType");
  manifest.config = read_optional(members, "config");
  members.for_each("layers", [&](const json::value& item, const std::string& path) {
    manifest.layers.push_back(read_descriptor(item, path));
  });
  manifest.subject = read_optional(members, "subject");
  manifest.annotations = members.text_map("annotations");
  return manifest;
}

Index parse_index(std::string_view text) {
  json::value const value = parse_bounded(text, "image index");
  Members const members(value, "index");
  refuse_schema_1(members);
  refuse_other_kind(members, "image index", "layers");
  refuse_other_kind(members, "image index", "config");
  Index index;
  index.media_type = members.text("mediaType");
  index.artifact_type = members.text("artifactType");
  members.for_each("manifests", [&](const json::value& item, const std::string& path) {
    index.manifests.push_back(read_descriptor(item, path));
  });
  index.subject = read_optional(members, "subject");
  index.annotations = members.text_map("annotations");
  return index;
}

std::optional<std::string> detect_manifest_type(std::string_view text) {
  json::value const value = parse_bounded(text, "image manifest");
  Members const members(value, "manifest");
  if (std::string type = members.text("mediaType"); !type.empty()) return type;
  if (members.integer("schemaVersion") == 1) return std::string(kDockerManifestV1);
  if (members.find("manifests")) return std::string(kOciIndex);
  if (members.find("config") || members.find("layers")) return std::string(kOciManifest);
  return std::nullopt;
}

std::string to_json(const Manifest& manifest) {
  json::object object;
  write_start(manifest.media_type, manifest.artifact_type, object);
  if (manifest.config) object["config"] = write_descriptor(*manifest.config);
  object["layers"] = write_descriptors(manifest.layers);
  write_end(manifest.subject, manifest.annotations, object);
  return to_indented_text(std::move(object));
}

std::string to_json(const Index& index) {
  json::object object;
  write_start(index.media_type, index.artifact_type, object);
  object["manifests"] = write_descriptors(index.manifests);
  write_end(index.subject, index.annotations, object);
  return to_indented_text(std::move(object));
}

std::string to_json(const Descriptor& descriptor) {
  return to_compact_text(write_descriptor(descriptor));
}

}  // namespace cobuild::oci
