#pragma once

/// The names of the image formats, OCI's and Docker's, and what they mean (F4.5.1, F4.5.2).

#include <string>
#include <string_view>

namespace cobuild::oci {

inline constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kOciConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kOciLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kOciLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kOciLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kOciForeignLayer =
    "application/vnd.oci.image.layer.nondistributable.v1.tar";

inline constexpr std::string_view kDockerIndex =
    "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerManifest =
    "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerManifestV1 =
    "application/vnd.docker.distribution.manifest.v1+prettyjws";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";
inline constexpr std::string_view kDockerLayerGzip =
    "application/vnd.docker.image.rootfs.diff.tar.gzip";
inline constexpr std::string_view kDockerLayerZstd =
    "application/vnd.docker.image.rootfs.diff.tar.zstd";
inline constexpr std::string_view kDockerForeignLayer =
    "application/vnd.docker.image.rootfs.foreign.diff.tar";

/// How the bytes of a layer are packed. Readers detect it from the bytes; this is for naming.
enum class Compression { kNone, kGzip, kZstd };

[[nodiscard]] bool is_index_type(std::string_view media_type) noexcept;
[[nodiscard]] bool is_manifest_type(std::string_view media_type) noexcept;
[[nodiscard]] bool is_config_type(std::string_view media_type) noexcept;
/// OCI's or Docker's, of any compression, foreign ones included.
[[nodiscard]] bool is_layer_type(std::string_view media_type) noexcept;
/// A layer that its licence forbids to push: kept as a reference to where it may be had.
[[nodiscard]] bool is_foreign_layer_type(std::string_view media_type) noexcept;

/// The ordinary name of a layer that was not to be distributed; other names stay.
[[nodiscard]] std::string distributable_type(std::string_view media_type);

/// What the name of a layer type says about its packing; kNone for names without a suffix.
[[nodiscard]] Compression compression_of(std::string_view media_type) noexcept;

/// The name of a distributable layer of this packing: OCI's, or Docker's with `docker`.
enum class TypeFamily { kOci, kDocker };
[[nodiscard]] std::string_view layer_type(Compression compression, TypeFamily family) noexcept;

/// The same thing's name in the other family (manifest, index, config, layer); other names stay.
[[nodiscard]] std::string convert_type(std::string_view media_type, TypeFamily family);

}  // namespace cobuild::oci
