#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/file_io.hpp"
#include "core/sys/tree.hpp"
#include "oci/export_image.hpp"
#include "oci/export_index.hpp"
#include "oci/output_file.hpp"
#include "oci/spec/media_type.hpp"
#include "oci/tar_stream.hpp"

namespace cobuild::oci {

namespace {

namespace fs = std::filesystem;

/// An index is written in milliseconds: who has it locked for longer has something else in mind.
constexpr int kLockTries_max = 30;
constexpr timespec kLockNap{.tv_sec = 0, .tv_nsec = 100'000'000};

/// index.json.lock, as BuildKit's own clients take it; gone when released.
class IndexLock {
 public:
  explicit IndexLock(fs::path path) : path_(std::move(path)) {
    for (int tries = 1;; ++tries) {
      fd_ = open_file(path_, O_RDWR | O_CREAT, 0600);
      if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (tries < kLockTries_max) {
          ::nanosleep(&kLockNap, nullptr);
          continue;
        }
        throw Error(ErrorKind::kUnavailable,
                    "could not lock " + path_.string() +
                        ": another process is writing this layout; build again");
      }
      // Whoever held it before may have removed it meanwhile: then ours is a lock on nothing.
      struct stat mine{};
      struct stat named{};
      if (::fstat(fd_.get(), &mine) == 0 && ::stat(path_.c_str(), &named) == 0 &&
          mine.st_ino == named.st_ino) {
        return;
      }
    }
  }
  IndexLock(const IndexLock&) = delete;
  IndexLock& operator=(const IndexLock&) = delete;
  ~IndexLock() { ::unlink(path_.c_str()); }

 private:
  fs::path path_;
  UniqueFd fd_;
};

/// What one export has made that was not there before; gone again unless kept.
class MadeFiles {
 public:
  MadeFiles() = default;
  MadeFiles(const MadeFiles&) = delete;
  MadeFiles& operator=(const MadeFiles&) = delete;
  ~MadeFiles() {
    for (auto path = paths_.rbegin(); path != paths_.rend(); ++path) {
      // Directories that somebody else uses by now are not empty and stay.
      std::error_code ignored;
      fs::remove(*path, ignored);
    }
  }

  /// To be called before `path` is made.
  void will_make(const fs::path& path) {
    std::error_code error;
    if (!fs::exists(path, error)) paths_.push_back(path);
  }

  void make_directories(const fs::path& path) {
    if (path.has_parent_path() && path.parent_path() != path) {
      std::error_code error;
      if (!fs::exists(path.parent_path(), error)) make_directories(path.parent_path());
    }
    will_make(path);
    if (::mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) {
      throw Error::from_errno(errno, "make the directory " + path.string());
    }
  }

  void keep() { paths_.clear(); }

 private:
  std::vector<fs::path> paths_;
};

bool has_file(const fs::path& path, std::uint64_t size) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         static_cast<std::uint64_t>(status.st_size) == size;
}

void write_text(const fs::path& path, unsigned mode, std::string_view text) {
  OutputFile file(path, mode);
  write_fully(file.fd(), text, path.string());
  file.commit();
}

void write_blob(const fs::path& path, const Descriptor& blob, const BlobOpener& open_blob) {
  UniqueFd const source = open_blob(blob.digest);
  OutputFile file(path, 0444);
  try {
    copy_file_content(source.get(), file.fd());
  } catch (const Error& error) {
    throw error.with_context("write " + path.string());
  }
  struct stat status{};
  if (::fstat(file.fd(), &status) != 0) throw Error::from_errno(errno, "look at " + path.string());
  if (static_cast<std::uint64_t>(status.st_size) != blob.size) {
    throw Error(ErrorKind::kCorrupt, "the stored blob " + blob.digest.to_string() + " has " +
                                         std::to_string(status.st_size) + " bytes instead of " +
                                         std::to_string(blob.size));
  }
  file.commit();
}

/// What is in index.json now; a fresh one if there is none.
Index read_index(const fs::path& path) {
  Index index;
  UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0 && errno != ENOENT)
    throw Error::from_errno(errno, "could not read " + path.string());
  if (fd.get() >= 0) {
    std::vector<std::byte> buffer(kManifestBytesMax + 1);
    std::size_t size = 0;
    while (size < buffer.size()) {
      std::size_t const n = read_some_of(fd.get(), std::span(buffer).subspan(size), path.string());
      if (n == 0) break;
      size += n;
    }
    if (size > kManifestBytesMax) throw Error(ErrorKind::kCorrupt, path.string() + " is too long");
    std::string_view const text(reinterpret_cast<const char*>(buffer.data()), size);
    try {
      if (!text.empty()) index = parse_index(text);
    } catch (const Error& error) {
      throw error.with_context("could not unmarshal " + path.string());
    }
  }
  if (index.media_type.empty()) index.media_type = std::string(kOciIndex);
  return index;
}

std::string annotation(const Descriptor& descriptor, const char* key) {
  auto const found = descriptor.annotations.find(key);
  return found == descriptor.annotations.end() ? std::string() : found->second;
}

/// Adds `entry` in the place of one with the same name.
void put(Index& index, const Descriptor& entry) {
  std::erase_if(index.manifests, [&](const Descriptor& old) {
    return annotation(old, "org.opencontainers.image.ref.name") ==
               annotation(entry, "org.opencontainers.image.ref.name") &&
           annotation(old, "io.containerd.image.name") ==
               annotation(entry, "io.containerd.image.name");
  });
  index.manifests.push_back(entry);
}

}  // namespace

void write_image_layout(const ExportImage& image, const BlobOpener& open_blob,
                        const fs::path& directory, const ExportProgress& progress) {
  fs::path const blobs = directory / "blobs" / "sha256";
  MadeFiles made;
  made.make_directories(blobs);
  std::uint64_t written = 0;
  auto advance = [&](std::uint64_t bytes) {
    written += bytes;
    if (progress) progress(written);
  };
  for (const Descriptor& layer : image.layers) {
    fs::path const path = blobs / layer.digest.digest().hex();
    made.will_make(path);
    if (!has_file(path, layer.size)) write_blob(path, layer, open_blob);
    advance(layer.size);
  }
  auto add = [&](const ExportDocument& document) {
    fs::path const path = blobs / document.digest.digest().hex();
    made.will_make(path);
    if (!has_file(path, document.text.size())) write_text(path, 0444, document.text);
    advance(document.text.size());
  };
  for (const ExportDocument& part : image.documents) add(part);
  add(image.root);

  IndexLock const lock(directory / "index.json.lock");
  made.will_make(directory / "oci-layout");
  write_text(directory / "oci-layout", 0644, kOciLayoutText);
  Index index = read_index(directory / "index.json");
  if (image.names.empty()) {
    Descriptor entry = root_descriptor(image);
    entry.annotations.try_emplace("org.opencontainers.image.ref.name", "latest");
    put(index, entry);
  }
  for (const std::string& name : image.names) put(index, with_name(root_descriptor(image), name));
  write_text(directory / "index.json", 0644, index_text(index));
  made.keep();
}

void drop_unreferenced_blobs(const fs::path& directory) {
  fs::path const blobs = directory / "blobs" / "sha256";
  IndexLock const lock(directory / "index.json.lock");
  std::vector<Descriptor> open = read_index(directory / "index.json").manifests;
  std::set<std::string> needed;
  while (!open.empty()) {
    Descriptor const next = std::move(open.back());
    open.pop_back();
    if (!needed.insert(next.digest.digest().hex()).second) continue;
    bool const is_index = is_index_type(next.media_type);
    if (!is_index && !is_manifest_type(next.media_type)) continue;
    auto const text =
        read_file_if_exists(blobs / next.digest.digest().hex(), kManifestBytesMax);
    if (!text) continue;
    if (is_index) {
      for (Descriptor& entry : parse_index(*text).manifests) open.push_back(std::move(entry));
      continue;
    }
    Manifest manifest = parse_manifest(*text);
    if (manifest.config) open.push_back(*std::move(manifest.config));
    for (Descriptor& layer : manifest.layers) open.push_back(std::move(layer));
  }
  for (const auto& entry : fs::directory_iterator(blobs)) {
    if (!needed.contains(entry.path().filename().string())) fs::remove(entry.path());
  }
}

}  // namespace cobuild::oci
