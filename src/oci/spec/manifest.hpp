#pragma once

/// Image manifests and indexes, and their JSON.
///
/// Reading is for what others wrote: bounded, unknown members ignored, and a wrong one named in the
/// error. Writing gives the bytes that BuildKit's exporter gives: members in the order of the
/// spec's structs, two blanks of indentation (F4.5.3).

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oci/spec/descriptor.hpp"

namespace cobuild::oci {

/// No manifest or index is longer; also what registries refuse to store.
inline constexpr std::size_t kManifestBytesMax = 4 * 1024 * 1024;

struct Manifest {
  std::string media_type;  ///< May be empty in old OCI manifests.
  std::string artifact_type;
  std::optional<Descriptor> config;  ///< Absent only in malformed or exotic ones.
  std::vector<Descriptor> layers;    ///< Lowest first.
  std::optional<Descriptor> subject;
  std::map<std::string, std::string> annotations;

  friend bool operator==(const Manifest&, const Manifest&) = default;
};

struct Index {
  std::string media_type;
  std::string artifact_type;
  std::vector<Descriptor> manifests;
  std::optional<Descriptor> subject;
  std::map<std::string, std::string> annotations;

  friend bool operator==(const Index&, const Index&) = default;
};

/// \throws Error kCorrupt naming the member that is wrong; kUnsupported for digests other than
/// sha256 and for Docker's schema 1.
[[nodiscard]] Manifest parse_manifest(std::string_view json);
[[nodiscard]] Index parse_index(std::string_view json);

/// What some bytes are, for content that came without a media type: its "mediaType" member, else
/// what its members say; nullopt when they say neither manifest nor index.
[[nodiscard]] std::optional<std::string> detect_manifest_type(std::string_view json);

/// Indented by two blanks, no newline at the end. An empty list of layers is written as null, as
/// BuildKit does for scratch.
[[nodiscard]] std::string to_json(const Manifest& manifest);
[[nodiscard]] std::string to_json(const Index& index);
/// One descriptor, compact.
[[nodiscard]] std::string to_json(const Descriptor& descriptor);

}  // namespace cobuild::oci
