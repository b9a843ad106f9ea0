#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>

#include <algorithm>
#include <cerrno>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "oci/export_image.hpp"
#include "oci/export_index.hpp"
#include "oci/output_file.hpp"
#include "oci/spec/json_text.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/spec/reference.hpp"
#include "oci/tar_header.hpp"
#include "oci/tar_stream.hpp"

namespace cobuild::oci {

namespace {

namespace json = boost::json;

constexpr std::size_t kCopyBytes = 1024 * 1024;

/// One member of the archive: text, or a blob.
struct Member {
  std::uint32_t mode;
  TarType type = TarType::kRegular;
  std::string text = {};
  std::optional<BlobDigest> blob = {};
  std::uint64_t size = 0;
};

std::string blob_path(const BlobDigest& digest) {
  return "blobs/sha256/" + digest.digest().hex();
}

/// What `docker load` reads: one image, all of its names.
std::string docker_manifest(const ExportImage& image) {
  json::object entry;
  entry["Config"] = blob_path(*image.config);
  json::value& tags = entry["RepoTags"];
  for (const std::string& name : image.names) {
    if (tags.is_null()) tags = json::array();
    tags.get_array().push_back(json::value(Reference::parse(name).familiar()));
  }
  json::value& layers = entry["Layers"];
  for (const Descriptor& layer : image.layers) {
    if (layers.is_null()) layers = json::array();
    layers.get_array().push_back(json::value(blob_path(layer.digest)));
  }
  json::array list;
  list.push_back(std::move(entry));
  return to_compact_text(std::move(list));
}

/// All members by name, which is the order of the archive (F4.3.2).
std::map<std::string, Member> members_of(const ExportImage& image, ArchiveFormat format) {
  COBUILD_ASSERT(image.config || format == ArchiveFormat::kOci, "docker load takes one image");
  Index index;
  index.media_type = std::string(kOciIndex);
  index.manifests = named_descriptors(image);
  std::map<std::string, Member> members;
  auto add_text = [&](const std::string& name, std::uint32_t mode, std::string text) {
    std::uint64_t const size = text.size();
    members.emplace(name, Member{.mode = mode, .text = std::move(text), .size = size});
  };
  members.emplace("blobs/", Member{.mode = 0755, .type = TarType::kDirectory});
  members.emplace("blobs/sha256/", Member{.mode = 0755, .type = TarType::kDirectory});
  add_text(blob_path(image.root.digest), 0444, image.root.text);
  for (const ExportDocument& part : image.documents)
    add_text(blob_path(part.digest), 0444, part.text);
  for (const Descriptor& layer : image.layers) {
    members.emplace(blob_path(layer.digest),
                    Member{.mode = 0444, .blob = layer.digest, .size = layer.size});
  }
  add_text("index.json", 0644, index_text(index));
  if (format == ArchiveFormat::kDocker) add_text("manifest.json", 0644, docker_manifest(image));
  add_text("oci-layout", 0444, std::string(kOciLayoutText));
  return members;
}

class ArchiveWriter {
 public:
  ArchiveWriter(int out_fd, std::string what, const ExportProgress& progress)
      : out_fd_(out_fd), what_(std::move(what)), progress_(progress) {
    struct stat status{};
    is_regular_ = ::fstat(out_fd, &status) == 0 && S_ISREG(status.st_mode);
  }

  void write(const std::map<std::string, Member>& members, const BlobOpener& open_blob) {
    for (const auto& [name, member] : members) {
      put(format_tar_header({.name = name,
                             .type = member.type,
                             .mode = member.mode,
                             .size = static_cast<std::int64_t>(member.size)}));
      if (member.blob) {
        UniqueFd const fd = open_blob(*member.blob);
        copy_blob(fd.get(), *member.blob, member.size);
      } else {
        put(member.text);
      }
      put(std::string(tar_padding(member.size), '\0'));
    }
    put(tar_end());
  }

 private:
  void put(std::string_view text) {
    write_fully(out_fd_, text, what_);
    advance(text.size());
  }

  void advance(std::size_t bytes) {
    written_ += bytes;
    if (progress_) progress_(written_);
  }

  void copy_blob(int fd, const BlobDigest& digest, std::uint64_t size) {
    struct stat status{};
    if (::fstat(fd, &status) == 0 && static_cast<std::uint64_t>(status.st_size) != size) {
      throw_corrupt(digest, "has " + std::to_string(status.st_size) + " bytes instead of " +
                                std::to_string(size));
    }
    off_t offset = 0;
    if (is_regular_ && copy_in_kernel(fd, offset, size)) return;
    copy_by_hand(fd, digest, size);
  }

  /// False when the kernel cannot, in which case nothing was written.
  bool copy_in_kernel(int fd, off_t& offset, std::uint64_t size) {
    while (static_cast<std::uint64_t>(offset) < size) {
      std::size_t const left = static_cast<std::size_t>(size - static_cast<std::uint64_t>(offset));
      ssize_t const n =
          ::copy_file_range(fd, &offset, out_fd_, nullptr, std::min(left, 64 * kCopyBytes), 0);
      if (n > 0) {
        advance(static_cast<std::size_t>(n));
        continue;
      }
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO || offset > 0)) {
        throw write_error(errno, what_);
      }
      if (offset > 0) throw Error(ErrorKind::kCorrupt, "a blob became shorter while it was copied");
      return false;
    }
    return true;
  }

  void copy_by_hand(int fd, const BlobDigest& digest, std::uint64_t size) {
    DigestWriter hash;
    std::vector<std::byte> buffer(kCopyBytes);
    std::uint64_t done = 0;
    off_t offset = 0;
    while (done < size) {
      std::size_t const want =
          static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size - done));
      ssize_t const n = ::pread(fd, buffer.data(), want, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw Error::from_errno(errno, "read the blob " + digest.to_string());
      if (n == 0) throw_corrupt(digest, "ends early");
      auto const piece = std::span(buffer).first(static_cast<std::size_t>(n));
      hash.write(piece);
      write_fully(out_fd_, piece, what_);
      advance(piece.size());
      done += piece.size();
      offset += n;
    }
    if (BlobDigest(hash.finish()) != digest) throw_corrupt(digest, "has other contents");
  }

  [[noreturn]] static void throw_corrupt(const BlobDigest& digest, const std::string& what) {
    throw Error(ErrorKind::kCorrupt, "the stored blob " + digest.to_string() + " " + what);
  }

  int out_fd_;
  std::string what_;
  const ExportProgress& progress_;
  bool is_regular_ = false;
  std::uint64_t written_ = 0;
};

}  // namespace

void write_image_archive(const ExportImage& image, ArchiveFormat format,
                         const BlobOpener& open_blob, int out_fd, const ExportProgress& progress) {
  ArchiveWriter(out_fd, "the image archive", progress).write(members_of(image, format), open_blob);
}

void write_image_archive(const ExportImage& image, ArchiveFormat format,
                         const BlobOpener& open_blob, const std::filesystem::path& path,
                         const ExportProgress& progress) {
  OutputFile file(path, 0666);
  ArchiveWriter(file.fd(), path.string(), progress).write(members_of(image, format), open_blob);
  file.commit();
}

}  // namespace cobuild::oci
