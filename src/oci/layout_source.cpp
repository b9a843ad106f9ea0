#include "oci/layout_source.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/base/error.hpp"
#include "core/sys/fs.hpp"
#include "oci/spec/manifest.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::oci {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
constexpr std::string_view kImageName = "io.containerd.image.name";

/// nullopt: no such file. \throws Error when it is longer than `bytes_max`.
std::optional<std::string> read_whole(const fs::path& path, std::size_t bytes_max) {
  UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    int const error = errno;
    if (error == ENOENT || error == ENOTDIR) return std::nullopt;
    throw Error::from_errno(error, "open " + path.string());
  }
  std::string text;
  std::vector<char> buffer(64 * 1024);
  while (true) {
    ssize_t const got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error::from_errno(errno, "read " + path.string());
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > bytes_max) {
      throw Error(ErrorKind::kCorrupt,
                  path.string() + " is longer than " + std::to_string(bytes_max) + " bytes");
    }
  }
}

fs::path blob_path(const fs::path& directory, BlobDigest digest) {
  return directory / "blobs" / "sha256" / digest.digest().hex();
}

std::string annotation(const Descriptor& descriptor, std::string_view name) {
  auto found = descriptor.annotations.find(std::string(name));
  return found == descriptor.annotations.end() ? std::string() : found->second;
}

/// The entry of index.json that `reference` names: the last one of that name, as tools append.
const Descriptor* find_by_name(const Index& index, const Reference& reference) {
  std::string const full = reference.name() + ":" + *reference.tag;
  const Descriptor* found = nullptr;
  for (const Descriptor& entry : index.manifests) {
    std::string const ref_name = annotation(entry, kRefName);
    bool const matches =
        ref_name == *reference.tag || ref_name == full || annotation(entry, kImageName) == full;
    if (matches) found = &entry;
  }
  bool const only_one = index.manifests.size() == 1 && *reference.tag == "latest" &&
                        annotation(index.manifests.front(), kRefName).empty();
  return !found && only_one ? &index.manifests.front() : found;
}

std::optional<ManifestContent> find_manifest(const fs::path& directory,
                                             const Reference& reference) {
  auto const text = read_whole(directory / "index.json", kManifestBytesMax);
  if (!text) {
    throw Error(ErrorKind::kNotFound,
                directory.string() + " is not an OCI layout: it has no index.json");
  }
  Index const index = parse_index(*text);
  BlobDigest digest(Digest::of(std::string_view()));
  std::string media_type;
  if (reference.digest) {
    digest = *reference.digest;
    auto const named = std::ranges::find(index.manifests, digest, &Descriptor::digest);
    if (named != index.manifests.end()) media_type = named->media_type;
  } else {
    const Descriptor* entry = find_by_name(index, reference);
    if (!entry) return std::nullopt;
    digest = entry->digest;
    media_type = entry->media_type;
  }
  fs::path const path = blob_path(directory, digest);
  auto bytes = read_whole(path, kManifestBytesMax);
  if (!bytes) return std::nullopt;
  BlobDigest const got(Digest::of(*bytes));
  if (got != digest) {
    throw Error(ErrorKind::kCorrupt, path.string() + ": the content has digest " + got.to_string());
  }
  if (!is_index_type(media_type) && !is_manifest_type(media_type)) {
    media_type = detect_manifest_type(*bytes).value_or(media_type);
  }
  std::uint64_t const size = bytes->size();
  Descriptor descriptor{.media_type = std::move(media_type),
                        .digest = digest,
                        .size = size,
                        .urls = {},
                        .annotations = {},
                        .platform = {},
                        .artifact_type = {},
                        .data = {}};
  return ManifestContent{std::move(descriptor), std::move(*bytes)};
}

/// A piece of a blob and the hash of everything up to its end; passed to the pool and back.
struct Piece {
  std::vector<std::byte> bytes;
  std::size_t filled = 0;
  DigestWriter hash;
};

Piece read_piece(int fd, std::uint64_t offset, Piece piece, const fs::path& path) {
  piece.filled = 0;
  while (piece.filled < piece.bytes.size()) {
    ssize_t const got =
        ::pread(fd, piece.bytes.data() + piece.filled, piece.bytes.size() - piece.filled,
                static_cast<off_t>(offset + piece.filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error::from_errno(errno, "read " + path.string());
    if (got == 0) break;
    piece.filled += static_cast<std::size_t>(got);
  }
  piece.hash.write(std::span<const std::byte>(piece.bytes).first(piece.filled));
  return piece;
}

}  // namespace

LayoutSource::LayoutSource(fs::path directory, asio::thread_pool& pool)
    : directory_(std::move(directory)), pool_(pool) {}

Task<std::optional<ManifestContent>> LayoutSource::fetch_manifest(Reference reference) {
  auto find = [directory = directory_, reference = std::move(reference)] {
    return find_manifest(directory, reference);
  };
  co_return co_await offload(pool_, std::move(find));
}

Task<void> LayoutSource::fetch_blob(Reference repository, Descriptor blob, BlobSink& sink,
                                    ResumePoint resume) {
  (void)repository;  // a layout is one repository
  fs::path const path = blob_path(directory_, blob.digest);
  UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw Error::from_errno(errno, "open " + path.string());
  Piece piece{std::vector<std::byte>(kChunkBytesMax), 0, std::move(resume.hash)};
  std::uint64_t offset = resume.offset;
  while (true) {
    auto read = [number = fd.get(), offset, piece = std::move(piece), &path]() mutable {
      return read_piece(number, offset, std::move(piece), path);
    };
    piece = co_await offload(pool_, std::move(read));
    if (piece.filled == 0) break;
    if (piece.filled > blob.size - std::min(offset, blob.size)) {
      throw Error(ErrorKind::kCorrupt,
                  path.string() + " is longer than its " + std::to_string(blob.size) + " bytes");
    }
    co_await sink.write(std::span<const std::byte>(piece.bytes).first(piece.filled));
    offset += piece.filled;
  }
  BlobDigest const got(piece.hash.finish());
  if (offset != blob.size || got != blob.digest) {
    throw Error(ErrorKind::kCorrupt, path.string() + ": " + std::to_string(offset) +
                                         " bytes of digest " + got.to_string() +
                                         ", but they should be " + std::to_string(blob.size));
  }
}

}  // namespace cobuild::oci
