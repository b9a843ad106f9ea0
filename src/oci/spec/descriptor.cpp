#include "oci/spec/descriptor.hpp"

#include <boost/json/array.hpp>

#include "core/base/error.hpp"
#include "oci/spec/descriptor_json.hpp"

namespace cobuild::oci {

namespace json = boost::json;

Platform read_platform(const Members& members) {
  Platform platform;
  platform.architecture = members.text("architecture");
  platform.os = members.text("os");
  platform.os_version = members.text("os.version");
  platform.os_features = members.texts("os.features");
  platform.variant = members.text("variant");
  return platform;
}

void write_platform(const Platform& platform, json::object& object) {
  object["architecture"] = platform.architecture;
  object["os"] = platform.os;
  if (!platform.os_version.empty()) object["os.version"] = platform.os_version;
  if (!platform.os_features.empty()) object["os.features"] = write_texts(platform.os_features);
  if (!platform.variant.empty()) object["variant"] = platform.variant;
}

json::array write_texts(const std::vector<std::string>& texts) {
  json::array items;
  for (const std::string& text : texts) items.emplace_back(text);
  return items;
}

json::object write_text_map(const std::map<std::string, std::string>& map) {
  json::object object;
  for (const auto& [name, text] : map) object[name] = text;
  return object;
}

Descriptor read_descriptor(const json::value& value, const std::string& path) {
  Members const members(value, path);
  auto digest = BlobDigest(parse_digest_member(members.text("digest"), members.path_of("digest")));
  std::int64_t const size = members.integer("size");
  if (size < 0) members.throw_wrong("size", "a size");
  Descriptor descriptor{.media_type = members.text("mediaType"),
                        .digest = digest,
                        .size = static_cast<std::uint64_t>(size),
                        .urls = members.texts("urls"),
                        .annotations = members.text_map("annotations"),
                        .platform = {},
                        .artifact_type = members.text("artifactType"),
                        .data = members.text("data")};
  if (const json::value* platform = members.find("platform")) {
    descriptor.platform = read_platform(Members(*platform, members.path_of("platform")));
  }
  return descriptor;
}

json::object write_descriptor(const Descriptor& descriptor) {
  json::object object;
  object["mediaType"] = descriptor.media_type;
  object["digest"] = descriptor.digest.to_string();
  object["size"] = descriptor.size;
  if (!descriptor.urls.empty()) object["urls"] = write_texts(descriptor.urls);
  if (!descriptor.annotations.empty()) {
    object["annotations"] = write_text_map(descriptor.annotations);
  }
  if (!descriptor.data.empty()) object["data"] = descriptor.data;
  if (descriptor.platform) {
    json::object platform;
    write_platform(*descriptor.platform, platform);
    object["platform"] = std::move(platform);
  }
  if (!descriptor.artifact_type.empty()) object["artifactType"] = descriptor.artifact_type;
  return object;
}

}  // namespace cobuild::oci
