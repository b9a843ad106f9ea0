#pragma once

/// Images into archives and layout directories: `--output type=oci` and `type=docker` (F4.3).
///
/// Blocking functions for a pool thread. What is written by path appears whole or not at all: a
/// temporary name in the same directory, renamed at the end, removed on failure. A full disk is an
/// Error kUnavailable that says so and names the path.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/digest.hpp"
#include "core/base/go_time.hpp"
#include "core/sys/fs.hpp"
#include "oci/image_config_patch.hpp"
#include "oci/spec/descriptor.hpp"
#include "oci/spec/platform.hpp"

namespace cobuild::oci {

/// A config, a manifest or an index.
struct ExportDocument {
  std::string media_type;
  BlobDigest digest;
  std::string text;
};

/// An image as exporters take it, or the images of several platforms under an index.
struct ExportImage {
  ExportDocument root;                    ///< The manifest, or the index.
  std::vector<ExportDocument> documents;  ///< What is below it: configs, and an index's manifests.
  std::vector<Descriptor> layers;         ///< In the manifests' order.
  std::optional<BlobDigest> config;       ///< Unset for an index.
  /// Written to `org.opencontainers.image.created` of the descriptor in index.json (F4.3.5).
  Timestamp created;
  /// Normalised names ("docker.io/library/alpine:latest"); may be none.
  std::vector<std::string> names;
  std::map<std::string, std::string> descriptor_annotations;
  /// Of the descriptor in index.json.
  std::optional<Platform> platform;
};

/// The export of one image, which has no names yet. `layers`: those that it was built from.
[[nodiscard]] ExportImage export_of(BuiltImage image, const std::vector<ImageLayer>& layers,
                                    Timestamp created);

/// How an index is written.
struct IndexOptions {
  bool oci_media_types = true;  ///< False: Docker's (F4.5.1, F4.5.2).
  std::map<std::string, std::string> annotations = {};
};

/// The export of several images, in this order, each with its platform (F4.5.5); it has no names
/// yet.
[[nodiscard]] ExportImage index_of(
    const std::vector<std::pair<Platform, const ExportImage*>>& images, IndexOptions options,
    Timestamp created);

/// Opens a layer's blob for reading. Called on the thread that exports.
/// \throws Error kNotFound when it is not here.
using BlobOpener = std::function<UniqueFd(const BlobDigest&)>;

/// Told how many bytes were written so far. May be empty.
using ExportProgress = std::function<void(std::uint64_t bytes)>;

enum class ArchiveFormat {
  kOci,     ///< An OCI layout in a tar.
  kDocker,  ///< The same with `manifest.json`, for `docker load`. Not for an index (F4.3.3).
};

/// Writes the archive to `out_fd` (a file, a pipe, a socket), which stays the caller's. The size of
/// each blob is checked and, where the kernel does not copy it by itself, its digest.
/// \throws Error kCorrupt for a blob that is not what its descriptor says.
void write_image_archive(const ExportImage& image, ArchiveFormat format,
                         const BlobOpener& open_blob, int out_fd,
                         const ExportProgress& progress = {});

/// The same to a path.
void write_image_archive(const ExportImage& image, ArchiveFormat format,
                         const BlobOpener& open_blob, const std::filesystem::path& path,
                         const ExportProgress& progress = {});

/// Adds the image to the OCI layout in `directory`, which is made if it is missing (F4.3.6):
/// blobs, then index.json under its lock. Entries of index.json with the same name are replaced,
/// others stay; without names the tag is that in descriptor_annotations, else "latest". Blobs that are there already are not written.
/// When it throws, what it had made is gone again.
/// \throws Error kUnavailable "could not lock …" when another process holds index.json.lock for
/// seconds; kCorrupt when the index.json that is there is none.
void write_image_layout(const ExportImage& image, const BlobOpener& open_blob,
                        const std::filesystem::path& directory,
                        const ExportProgress& progress = {});

/// Removes the blobs of the layout in `directory` that nothing in its index.json leads to. Blocking.
/// \throws Error as write_image_layout.
void drop_unreferenced_blobs(const std::filesystem::path& directory);

/// What a build answers about the image (F4.1.9): containerimage.digest, .config.digest
/// (but for an index), .descriptor (base64 JSON) and image.name. `is_archived`: the descriptor is that
/// of an archive or layout, which tells when the image was made (F4.3.5).
[[nodiscard]] std::map<std::string, std::string> export_response(const ExportImage& image,
                                                                 bool is_archived);

/// The text of `--metadata-file` (F4.1.10): values that are base64 of a JSON object are inlined.
[[nodiscard]] std::string metadata_json(const std::map<std::string, std::string>& response);

/// Writes it: whole or not at all, mode 0666 less the umask.
void write_metadata_file(const std::filesystem::path& path,
                         const std::map<std::string, std::string>& response);

/// What follows the last ':' or '@' of a name, as containerd's archives name it: "latest".
[[nodiscard]] std::string oci_reference_name(std::string_view name);

}  // namespace cobuild::oci
