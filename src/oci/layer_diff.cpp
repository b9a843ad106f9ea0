#include "oci/layer_diff.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/tree.hpp"
#include "oci/layer_stack.hpp"
#include "oci/output_file.hpp"
#include "oci/stargz_writer.hpp"
#include "oci/tar_header.hpp"
#include "oci/tar_stream.hpp"
#include "oci/tree_walk.hpp"

namespace cobuild::oci {

namespace {

constexpr const char* kCapability = "security.capability";
constexpr std::size_t kCapabilityBytesMax = 1024;

std::string parent_of(std::string_view path) {
  std::size_t const slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string() : std::string(path.substr(0, slash));
}

std::string join(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return std::string(directory) + '/' + std::string(name);
}

/// The value of a file's capabilities; empty if it has none.
std::string capability_of(int root_fd, const std::string& path) {
  std::string value(kCapabilityBytesMax, '\0');
  ssize_t const size =
      ::lgetxattr(proc_path(root_fd, path).c_str(), kCapability, value.data(), value.size());
  if (size < 0 && errno != ENODATA && errno != ENOTSUP) {
    throw Error::from_errno(errno, "read the capabilities of /" + path);
  }
  value.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return value;
}

UniqueFd open_regular(int root_fd, const std::string& path) {
  int const fd = ::openat(root_fd, path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) throw Error::from_errno(errno, "open /" + path);
  return UniqueFd(fd);
}

bool has_same_contents(int fd1, int fd2, const std::string& path) {
  std::vector<std::byte> a(64 * 1024);
  std::vector<std::byte> b(a.size());
  for (;;) {
    std::size_t const n = read_some_of(fd1, a, path);
    std::size_t got = 0;
    while (got < n) {
      std::size_t const m = read_some_of(fd2, std::span(b).subspan(got, n - got), path);
      if (m == 0) return false;
      got += m;
    }
    if (n == 0) return read_some_of(fd2, std::span(b).first(1), path) == 0;
    if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin())) return false;
  }
}

class LayerDiff {
 public:
  LayerDiff(const std::vector<std::filesystem::path>& layers,
            const std::vector<std::filesystem::path>& lower, const DiffOptions& options,
            const ByteFn& out)
      : above_(layers), below_(lower), out_(out) {
    if (options.mtime_max) {
      mtime_max_ =
          std::chrono::floor<std::chrono::seconds>(*options.mtime_max).time_since_epoch().count();
    }
  }

  void run() {
    walk("");
    out_.write(tar_end());
    out_.flush();
  }

 private:
  using FileId = std::pair<std::size_t, ino_t>;  ///< Its layer, and which file of it.
  enum class Change { kChanged, kSame };

  /// The changes in `directory`, as overlay recorded them.
  void walk(const std::string& directory) {
    for (const std::string& name : above_.changed_names(directory)) {
      std::string const path = join(directory, name);
      std::optional<LayerStack::Entry> const entry = above_.find_change(path);
      if (!entry) continue;
      if (is_whiteout(entry->status)) {
        if (below_.find(path)) write_whiteout(path);
        continue;
      }
      refuse_redirect(path, *entry);
      std::optional<LayerStack::Entry> const lower = below_.find(path);
      if (!lower || !is_same(*lower, path, *entry)) write_entry(path, *entry, Change::kChanged);
      if (!S_ISDIR(entry->status.st_mode)) continue;
      if (lower && above_.hides_below(path)) {
        compare(path);
      } else {
        walk(path);
      }
    }
  }

  /// The changes in `directory`, which hides what is below: found by comparing.
  void compare(const std::string& directory) {
    std::vector<std::string> const lower = below_.names(directory);
    std::vector<std::string> const upper = above_.changed_names(directory);
    auto l = lower.begin();
    auto u = upper.begin();
    while (l != lower.end() || u != upper.end()) {
      bool const in_lower = l != lower.end() && (u == upper.end() || *l <= *u);
      bool const in_upper = u != upper.end() && (l == lower.end() || *u <= *l);
      std::string const path = join(directory, in_upper ? *u : *l);
      if (in_lower) ++l;
      if (in_upper) ++u;
      std::optional<LayerStack::Entry> entry;
      if (in_upper) entry = above_.find_change(path);
      // A whiteout in here hides what is hidden already.
      if (!entry || is_whiteout(entry->status)) {
        if (in_lower) write_whiteout(path);
        continue;
      }
      compare_entry(path, *entry);
    }
  }

  void compare_entry(const std::string& path, const LayerStack::Entry& entry) {
    const struct stat& status = entry.status;
    refuse_redirect(path, entry);
    std::optional<LayerStack::Entry> const lower = below_.find(path);
    if (!lower || !is_same(*lower, path, entry)) {
      write_entry(path, entry, Change::kChanged);
    } else if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      write_entry(path, entry, Change::kSame);
    }
    // What is below a directory that replaces a file is new, and compare() finds nothing there.
    if (S_ISDIR(status.st_mode)) compare(path);
  }

  /// A link that is the same as below is written only if another name of the file has changed.
  void write_entry(const std::string& path, const LayerStack::Entry& entry, Change change) {
    const struct stat& status = entry.status;
    if (S_ISSOCK(status.st_mode)) return;
    int const root = above_.layer_fd(entry);
    TarHeader header = header_of(path, entry);
    std::vector<std::string> further_names;
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      FileId const id{entry.layer, status.st_ino};
      if (auto source = link_source_.find(id); source != link_source_.end()) {
        header.type = TarType::kHardLink;
        header.link_name = source->second;
        header.size = 0;
      } else if (change == Change::kSame) {
        unchanged_names_[id].push_back(path);
        return;
      } else {
        link_source_.emplace(id, path);
        if (auto names = unchanged_names_.extract(id))
          further_names = std::move(names.mapped());
      }
    }
    std::string capability = capability_of(root, path);
    if (!capability.empty())
      header.records["SCHILY.xattr.security.capability"] = std::move(capability);

    write_parents(path);
    if (S_ISDIR(status.st_mode)) written_directories_.insert(path);
    out_.write(format_tar_header(header));
    if (header.type == TarType::kRegular && header.size > 0) {
      UniqueFd const file = open_regular(root, path);
      out_.write_file(file.get(), static_cast<std::uint64_t>(header.size), path);
    }
    for (const std::string& name : further_names) {
      header.name = name;
      header.type = TarType::kHardLink;
      header.link_name = path;
      header.size = 0;
      write_parents(name);
      out_.write(format_tar_header(header));
    }
  }

  void write_whiteout(const std::string& path) {
    std::string const directory = parent_of(path);
    TarHeader header;
    header.name =
        join(directory, ".wh." + path.substr(directory.empty() ? 0 : directory.size() + 1));
    write_parents(path);
    out_.write(format_tar_header(header));
  }

  void write_parents(const std::string& path) {
    std::string const parent = parent_of(path);
    if (parent.empty() || written_directories_.contains(parent)) return;
    std::optional<LayerStack::Entry> const entry = above_.find(parent);
    if (!entry) throw Error(ErrorKind::kInternal, "/" + parent + " is gone");
    write_entry(parent, *entry, Change::kChanged);
  }

  TarHeader header_of(const std::string& path, const LayerStack::Entry& entry) const {
    TarHeader header = header_of_file(above_.layer_fd(entry), path, entry.status);
    if (mtime_max_ && header.mtime >= *mtime_max_) header.mtime = *mtime_max_;
    return header;
  }

  /// BuildKit's rule: all metadata, and the contents only where both times look cut to seconds, as
  /// unpacking a layer does.
  bool is_same(const LayerStack::Entry& lower, const std::string& path,
               const LayerStack::Entry& entry) const {
    const struct stat& below = lower.status;
    const struct stat& upper = entry.status;
    int const below_fd = below_.layer_fd(lower);
    int const root = above_.layer_fd(entry);
    if (below.st_mode != upper.st_mode || below.st_uid != upper.st_uid ||
        below.st_gid != upper.st_gid || below.st_rdev != upper.st_rdev) {
      return false;
    }
    if (capability_of(below_fd, path) != capability_of(root, path)) return false;
    if (S_ISDIR(upper.st_mode)) return true;
    if (below.st_size != upper.st_size || below.st_mtim.tv_sec != upper.st_mtim.tv_sec ||
        below.st_mtim.tv_nsec != upper.st_mtim.tv_nsec) {
      return false;
    }
    if (upper.st_mtim.tv_nsec != 0) return true;
    if (S_ISLNK(upper.st_mode)) {
      return read_link_at(below_fd, path.c_str()) == read_link_at(root, path.c_str());
    }
    if (!S_ISREG(upper.st_mode) || upper.st_size == 0) return true;
    UniqueFd const a = open_regular(below_fd, path);
    UniqueFd const b = open_regular(root, path);
    return has_same_contents(a.get(), b.get(), path);
  }

  void refuse_redirect(const std::string& path, const LayerStack::Entry& entry) const {
    if (!S_ISDIR(entry.status.st_mode)) return;
    for (const char* name : {"user.overlay.redirect", "trusted.overlay.redirect"}) {
      if (::lgetxattr(proc_path(above_.layer_fd(entry), path).c_str(), name, nullptr, 0) > 0) {
        throw Error(
            ErrorKind::kUnsupported,
            "/" + path + ": redirect_dir is used but it's not supported in overlayfs differ");
      }
    }
  }

  LayerStack above_;
  LayerStack below_;
  TarStream out_;
  std::optional<std::int64_t> mtime_max_;
  std::unordered_set<std::string> written_directories_;
  std::map<FileId, std::string> link_source_;  ///< Files with several names: the first.
  std::map<FileId, std::vector<std::string>> unchanged_names_;
};

}  // namespace

void write_layer_tar(const std::vector<std::filesystem::path>& layer_dirs,
                     const std::vector<std::filesystem::path>& lower_dirs,
                     const DiffOptions& options, const ByteFn& out) {
  LayerDiff(layer_dirs, lower_dirs, options, out).run();
}

namespace {

/// Where the blob goes: counted, hashed, written.
class BlobOutput {
 public:
  BlobOutput(int fd, bool is_hashed) : fd_(fd), is_hashed_(is_hashed) {}

  void write(std::span<const std::byte> data) {
    if (is_hashed_) hash_.write(data);
    bytes_ += data.size();
    write_fully(fd_, data, "a layer's blob");
  }

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] BlobDigest finish() { return BlobDigest(hash_.finish()); }

 private:
  int fd_;
  bool is_hashed_;
  DigestWriter hash_;
  std::uint64_t bytes_ = 0;
};

/// Packs the tar that `write_tar` gives to the function that it is called with.
SealedLayer pack_tar(const SealOptions& options, int out_fd,
                     const std::function<void(const ByteFn&)>& write_tar) {
  DigestWriter tar_hash;
  std::uint64_t tar_bytes = 0;
  bool const is_packed = options.compression != Compression::kNone;
  BlobOutput blob(out_fd, is_packed);
  DeflateStream::Options deflate{
      .compression = options.compression, .level = options.level, .pool = options.pool};
  DeflateStream stream(deflate, [&](std::span<const std::byte> data) { blob.write(data); });
  write_tar([&](std::span<const std::byte> data) {
    tar_hash.write(data);
    tar_bytes += data.size();
    stream.write(data);
    if (options.after_piece) options.after_piece();
  });
  stream.finish();
  Digest const diff_id = tar_hash.finish();
  return SealedLayer{.diff_id = DiffId(diff_id),
                     .source_diff_id = DiffId(diff_id),
                     .blob_digest = is_packed ? blob.finish() : BlobDigest(diff_id),
                     .blob_bytes = static_cast<std::int64_t>(blob.bytes()),
                     .tar_bytes = static_cast<std::int64_t>(tar_bytes),
                     .annotations = {}};
}

/// The same as eStargz.
SealedLayer pack_stargz(const SealOptions& options, int out_fd,
                        const std::function<void(const ByteFn&)>& write_tar) {
  DigestWriter source_hash;
  DigestWriter tar_hash;
  std::uint64_t tar_bytes = 0;
  BlobOutput blob(out_fd, true);
  DeflateStream::Options deflate{.compression = Compression::kGzip,
                                 .level = options.level,
                                 .pool = options.pool,
                                 .is_cut = true};
  DeflateStream stream(deflate, [&](std::span<const std::byte> data) { blob.write(data); });
  auto add_to_tar = [&](std::span<const std::byte> data) {
    tar_hash.write(data);
    tar_bytes += data.size();
  };
  StargzWriter writer(
      [&](std::span<const std::byte> data) {
        add_to_tar(data);
        stream.write(data);
      },
      [&] { stream.cut(); });
  write_tar([&](std::span<const std::byte> data) {
    if (options.hash_source) source_hash.write(data);
    writer.write(data);
    if (options.after_piece) options.after_piece();
  });
  writer.finish();
  stream.finish();
  StargzToc const toc = writer.toc(stream.cuts());
  std::uint64_t const toc_offset = blob.bytes();
  auto const toc_tar = std::as_bytes(std::span(toc.tar));
  add_to_tar(toc_tar);
  blob.write(gzip_member(toc_tar, options.level));
  std::string const footer = stargz_footer(toc_offset);
  blob.write(std::as_bytes(std::span(footer)));
  DiffId const diff_id(tar_hash.finish());
  return SealedLayer{
      .diff_id = diff_id,
      .source_diff_id = options.hash_source ? DiffId(source_hash.finish()) : diff_id,
      .blob_digest = blob.finish(),
      .blob_bytes = static_cast<std::int64_t>(blob.bytes()),
      .tar_bytes = static_cast<std::int64_t>(tar_bytes),
      .annotations = {{std::string(kStargzTocDigest), toc.digest.to_string()},
                      {std::string(kStargzUncompressedSize), std::to_string(tar_bytes)}}};
}

SealedLayer pack(const SealOptions& options, int out_fd,
                 const std::function<void(const ByteFn&)>& write_tar) {
  return options.stargz ? pack_stargz(options, out_fd, write_tar)
                        : pack_tar(options, out_fd, write_tar);
}

}  // namespace

SealedLayer seal_layer(const std::vector<std::filesystem::path>& layer_dirs,
                       const std::vector<std::filesystem::path>& lower_dirs,
                       const SealOptions& options, int out_fd) {
  return pack(options, out_fd, [&](const ByteFn& out) {
    write_layer_tar(layer_dirs, lower_dirs, options.diff, out);
  });
}

SealedLayer repack_layer(int blob_fd, SealOptions options, int out_fd) {
  options.hash_source = true;
  return pack(options, out_fd, [blob_fd](const ByteFn& out) {
    InflateStream stream({}, out);
    std::vector<std::byte> buffer(std::size_t{1} << 20);
    for (;;) {
      ssize_t const n = ::read(blob_fd, buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw Error::from_errno(errno, "read a layer's blob");
      if (n == 0) break;
      stream.write(std::span(buffer).first(static_cast<std::size_t>(n)));
    }
    stream.finish();
  });
}

}  // namespace cobuild::oci
