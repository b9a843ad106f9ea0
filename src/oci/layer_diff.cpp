#include "oci/layer_diff.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/sys/tree.hpp"
#include "oci/layer_stack.hpp"
#include "oci/output_file.hpp"
#include "oci/tar_header.hpp"
#include "oci/tar_stream.hpp"

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
  LayerDiff(const std::filesystem::path& layer_dir, const std::vector<std::filesystem::path>& lower,
            const DiffOptions& options, const ByteFn& out)
      : root_(open_file(layer_dir, O_PATH | O_DIRECTORY)), below_(lower), out_(out) {
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
  enum class Change { kChanged, kSame };

  /// The changes in `directory`, as overlay recorded them.
  void walk(const std::string& directory) {
    for (const std::string& name : list(directory)) {
      std::string const path = join(directory, name);
      std::optional<struct stat> const status = stat_at(root_.get(), path.c_str());
      if (!status) continue;
      if (is_whiteout(*status)) {
        if (below_.find(path)) write_whiteout(path);
        continue;
      }
      refuse_redirect(path, *status);
      std::optional<LayerStack::Entry> const lower = below_.find(path);
      if (!lower || !is_same(*lower, path, *status)) write_entry(path, *status, Change::kChanged);
      if (!S_ISDIR(status->st_mode)) continue;
      if (lower && is_opaque(root_.get(), path)) {
        compare(path);
      } else {
        walk(path);
      }
    }
  }

  /// The changes in `directory`, which hides what is below: found by comparing.
  void compare(const std::string& directory) {
    std::vector<std::string> const lower = below_.names(directory);
    std::vector<std::string> const upper = list(directory);
    auto l = lower.begin();
    auto u = upper.begin();
    while (l != lower.end() || u != upper.end()) {
      bool const in_lower = l != lower.end() && (u == upper.end() || *l <= *u);
      bool const in_upper = u != upper.end() && (l == lower.end() || *u <= *l);
      std::string const path = join(directory, in_upper ? *u : *l);
      if (in_lower) ++l;
      if (in_upper) ++u;
      std::optional<struct stat> status;
      if (in_upper) status = stat_at(root_.get(), path.c_str());
      // A whiteout in here hides what is hidden already.
      if (!status || is_whiteout(*status)) {
        if (in_lower) write_whiteout(path);
        continue;
      }
      compare_entry(path, *status);
    }
  }

  void compare_entry(const std::string& path, const struct stat& status) {
    refuse_redirect(path, status);
    std::optional<LayerStack::Entry> const lower = below_.find(path);
    if (!lower || !is_same(*lower, path, status)) {
      write_entry(path, status, Change::kChanged);
    } else if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      write_entry(path, status, Change::kSame);
    }
    // What is below a directory that replaces a file is new, and compare() finds nothing there.
    if (S_ISDIR(status.st_mode)) compare(path);
  }

  /// A link that is the same as below is written only if another name of the file has changed.
  void write_entry(const std::string& path, const struct stat& status, Change change) {
    if (S_ISSOCK(status.st_mode)) return;
    TarHeader header = header_of(path, status);
    std::vector<std::string> further_names;
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1) {
      if (auto source = link_source_.find(status.st_ino); source != link_source_.end()) {
        header.type = TarType::kHardLink;
        header.link_name = source->second;
        header.size = 0;
      } else if (change == Change::kSame) {
        unchanged_names_[status.st_ino].push_back(path);
        return;
      } else {
        link_source_.emplace(status.st_ino, path);
        if (auto names = unchanged_names_.extract(status.st_ino))
          further_names = std::move(names.mapped());
      }
    }
    std::string capability = capability_of(root_.get(), path);
    if (!capability.empty())
      header.records["SCHILY.xattr.security.capability"] = std::move(capability);

    write_parents(path);
    if (S_ISDIR(status.st_mode)) written_directories_.insert(path);
    out_.write(format_tar_header(header));
    if (header.type == TarType::kRegular && header.size > 0) {
      UniqueFd const file = open_regular(root_.get(), path);
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
    std::optional<struct stat> const status = stat_at(root_.get(), parent.c_str());
    if (!status) throw Error(ErrorKind::kInternal, "/" + parent + " is gone");
    write_entry(parent, *status, Change::kChanged);
  }

  TarHeader header_of(const std::string& path, const struct stat& status) const {
    TarHeader header;
    header.name = path;
    header.mode = status.st_mode & 07777;
    header.uid = status.st_uid;
    header.gid = status.st_gid;
    header.mtime = status.st_mtim.tv_sec;
    if (mtime_max_ && header.mtime >= *mtime_max_) header.mtime = *mtime_max_;
    switch (status.st_mode & S_IFMT) {
      case S_IFDIR:
        header.type = TarType::kDirectory;
        header.name += '/';
        break;
      case S_IFLNK:
        header.type = TarType::kSymlink;
        header.link_name = read_link_at(root_.get(), path.c_str());
        break;
      case S_IFIFO: header.type = TarType::kFifo; break;
      case S_IFCHR: header.type = TarType::kCharDevice; break;
      case S_IFBLK: header.type = TarType::kBlockDevice; break;
      default: header.size = status.st_size; break;
    }
    if (header.type == TarType::kCharDevice || header.type == TarType::kBlockDevice) {
      header.device_major = major(status.st_rdev);
      header.device_minor = minor(status.st_rdev);
    }
    return header;
  }

  /// BuildKit's rule: all metadata, and the contents only where both times look cut to seconds, as
  /// unpacking a layer does.
  bool is_same(const LayerStack::Entry& lower, const std::string& path,
               const struct stat& upper) const {
    const struct stat& below = lower.status;
    int const below_fd = below_.layer_fd(lower);
    if (below.st_mode != upper.st_mode || below.st_uid != upper.st_uid ||
        below.st_gid != upper.st_gid || below.st_rdev != upper.st_rdev) {
      return false;
    }
    if (capability_of(below_fd, path) != capability_of(root_.get(), path)) return false;
    if (S_ISDIR(upper.st_mode)) return true;
    if (below.st_size != upper.st_size || below.st_mtim.tv_sec != upper.st_mtim.tv_sec ||
        below.st_mtim.tv_nsec != upper.st_mtim.tv_nsec) {
      return false;
    }
    if (upper.st_mtim.tv_nsec != 0) return true;
    if (S_ISLNK(upper.st_mode)) {
      return read_link_at(below_fd, path.c_str()) == read_link_at(root_.get(), path.c_str());
    }
    if (!S_ISREG(upper.st_mode) || upper.st_size == 0) return true;
    UniqueFd const a = open_regular(below_fd, path);
    UniqueFd const b = open_regular(root_.get(), path);
    return has_same_contents(a.get(), b.get(), path);
  }

  void refuse_redirect(const std::string& path, const struct stat& status) const {
    if (!S_ISDIR(status.st_mode)) return;
    for (const char* name : {"user.overlay.redirect", "trusted.overlay.redirect"}) {
      if (::lgetxattr(proc_path(root_.get(), path).c_str(), name, nullptr, 0) > 0) {
        throw Error(
            ErrorKind::kUnsupported,
            "/" + path + ": redirect_dir is used but it's not supported in overlayfs differ");
      }
    }
  }

  std::vector<std::string> list(const std::string& directory) const {
    int const flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd const fd(::openat(root_.get(), directory.empty() ? "." : directory.c_str(), flags));
    if (fd.get() < 0) throw Error::from_errno(errno, "open the directory /" + directory);
    std::vector<std::string> names;
    for (DirectoryEntry& entry : list_directory(fd.get())) names.push_back(std::move(entry.name));
    return names;
  }

  UniqueFd root_;
  LayerStack below_;
  TarStream out_;
  std::optional<std::int64_t> mtime_max_;
  std::unordered_set<std::string> written_directories_;
  std::unordered_map<ino_t, std::string> link_source_;  ///< Files with several names: the first.
  std::unordered_map<ino_t, std::vector<std::string>> unchanged_names_;
};

}  // namespace

void write_layer_tar(const std::filesystem::path& layer_dir,
                     const std::vector<std::filesystem::path>& lower_dirs,
                     const DiffOptions& options, const ByteFn& out) {
  LayerDiff(layer_dir, lower_dirs, options, out).run();
}

namespace {

/// Packs the tar that `write_tar` gives to the function that it is called with.
SealedLayer pack_tar(const SealOptions& options, int out_fd,
                     const std::function<void(const ByteFn&)>& write_tar) {
  DigestWriter tar_hash;
  DigestWriter blob_hash;
  std::int64_t tar_bytes = 0;
  std::int64_t blob_bytes = 0;
  bool const is_packed = options.compression != Compression::kNone;
  DeflateStream::Options deflate{
      .compression = options.compression, .level = options.level, .pool = options.pool};
  DeflateStream stream(deflate, [&](std::span<const std::byte> data) {
    if (is_packed) blob_hash.write(data);
    blob_bytes += static_cast<std::int64_t>(data.size());
    write_fully(out_fd, data, "a layer's blob");
  });
  write_tar([&](std::span<const std::byte> data) {
    tar_hash.write(data);
    tar_bytes += static_cast<std::int64_t>(data.size());
    stream.write(data);
  });
  stream.finish();
  Digest const diff_id = tar_hash.finish();
  return SealedLayer{.diff_id = DiffId(diff_id),
                     .blob_digest = BlobDigest(is_packed ? blob_hash.finish() : diff_id),
                     .blob_bytes = blob_bytes,
                     .tar_bytes = tar_bytes};
}

}  // namespace

SealedLayer seal_layer(const std::filesystem::path& layer_dir,
                       const std::vector<std::filesystem::path>& lower_dirs,
                       const SealOptions& options, int out_fd) {
  return pack_tar(options, out_fd, [&](const ByteFn& out) {
    write_layer_tar(layer_dir, lower_dirs, options.diff, out);
  });
}

SealedLayer repack_layer(int blob_fd, const SealOptions& options, int out_fd) {
  return pack_tar(options, out_fd, [blob_fd](const ByteFn& out) {
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
