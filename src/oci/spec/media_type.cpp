#include "oci/spec/media_type.hpp"

#include <algorithm>
#include <array>

namespace cobuild::oci {
namespace {

/// The names of one thing in both families.
struct Pair {
  std::string_view oci;
  std::string_view docker;
};

constexpr std::array kPairs = {
    Pair{kOciIndex, kDockerIndex},
    Pair{kOciManifest, kDockerManifest},
    Pair{kOciConfig, kDockerConfig},
    Pair{kOciLayer, kDockerLayer},
    Pair{kOciLayerGzip, kDockerLayerGzip},
    Pair{kOciLayerZstd, kDockerLayerZstd},
    Pair{kOciForeignLayer, kDockerForeignLayer},
    Pair{"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
         "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"},
    Pair{"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
         "application/vnd.docker.image.rootfs.foreign.diff.tar.zstd"},
};

}  // namespace

bool is_index_type(std::string_view media_type) noexcept {
  return media_type == kOciIndex || media_type == kDockerIndex;
}

bool is_manifest_type(std::string_view media_type) noexcept {
  return media_type == kOciManifest || media_type == kDockerManifest;
}

bool is_config_type(std::string_view media_type) noexcept {
  return media_type == kOciConfig || media_type == kDockerConfig;
}

bool is_layer_type(std::string_view media_type) noexcept {
  return media_type.starts_with("application/vnd.oci.image.layer.") ||
         media_type.starts_with("application/vnd.docker.image.rootfs.");
}

bool is_foreign_layer_type(std::string_view media_type) noexcept {
  return media_type.starts_with(kOciForeignLayer) || media_type.starts_with(kDockerForeignLayer);
}

std::string distributable_type(std::string_view media_type) {
  if (!is_foreign_layer_type(media_type)) return std::string(media_type);
  bool const docker = media_type.starts_with(kDockerForeignLayer);
  return std::string(
      layer_type(compression_of(media_type), docker ? TypeFamily::kDocker : TypeFamily::kOci));
}

Compression compression_of(std::string_view media_type) noexcept {
  // "tar+gzip" in OCI's names, "tar.gzip" in Docker's; encryption suffixes may follow.
  auto says = [media_type](std::string_view name) {
    auto at = media_type.find(name);
    return at != std::string_view::npos && at > 0 &&
           (media_type[at - 1] == '+' || media_type[at - 1] == '.');
  };
  if (says("gzip")) return Compression::kGzip;
  if (says("zstd")) return Compression::kZstd;
  return Compression::kNone;
}

std::string_view layer_type(Compression compression, TypeFamily family) noexcept {
  bool const docker = family == TypeFamily::kDocker;
  switch (compression) {
    case Compression::kNone: return docker ? kDockerLayer : kOciLayer;
    case Compression::kGzip: return docker ? kDockerLayerGzip : kOciLayerGzip;
    case Compression::kZstd: return docker ? kDockerLayerZstd : kOciLayerZstd;
  }
  return kOciLayer;
}

std::string convert_type(std::string_view media_type, TypeFamily family) {
  auto pair = std::ranges::find_if(
      kPairs, [&](const Pair& p) { return p.oci == media_type || p.docker == media_type; });
  if (pair == kPairs.end()) return std::string(media_type);
  return std::string(family == TypeFamily::kOci ? pair->oci : pair->docker);
}

}  // namespace cobuild::oci
