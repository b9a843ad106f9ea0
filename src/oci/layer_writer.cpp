#include "oci/layer_writer.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <optional>

#include "core/base/error.hpp"
#include "core/sys/tree.hpp"
#include "oci/layer_stack.hpp"

namespace cobuild::oci {

namespace {

constexpr std::size_t kComponentBytesMax = 255;
constexpr std::size_t kOpenDirectoriesMax = 64;
constexpr int kLinksMax = 40;  ///< As the kernel's own limit.

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kMarkerPrefix = ".wh..wh.";
constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";

[[noreturn]] void throw_corrupt(const std::string& what) {
  throw Error(ErrorKind::kCorrupt, what);
}

std::string parent_of(std::string_view path) {
  std::size_t const slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string() : std::string(path.substr(0, slash));
}

std::string name_of(std::string_view path) {
  std::size_t const slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string join(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return std::string(directory) + '/' + std::string(name);
}

bool is_at_or_below(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

/// A link's target, with the layer directory as "/" and ".." of the root as the root. Dots are
/// taken out before links in the target are looked at, which only archives made to confuse would
/// notice.
std::string resolve_target(std::string_view directory, std::string_view target) {
  std::string joined(target);
  if (!target.starts_with('/')) joined = join(directory, target);
  std::string out;
  std::string_view rest = joined;
  while (!rest.empty()) {
    std::size_t const slash = std::min(rest.find('/'), rest.size());
    std::string_view const part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    out = part == ".." ? parent_of(out) : join(out, part);
  }
  return out;
}

/// File systems and Go's time agree on 64-bit nanoseconds; what is beyond becomes 1970, as there.
timespec to_timespec(const TarEntry& entry) {
  constexpr std::int64_t kSecondsMax = std::numeric_limits<std::int64_t>::max() / 1'000'000'000;
  if (entry.mtime < 0 || entry.mtime >= kSecondsMax) return {0, 0};
  return {static_cast<time_t>(entry.mtime), static_cast<long>(entry.mtime_ns)};
}

void set_times(int parent_fd, const std::string& name, timespec time) {
  timespec const times[2] = {time, time};
  if (::utimensat(parent_fd, name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) {
    throw Error::from_errno(errno, "set the time");
  }
}

mode_t node_type(TarType type) {
  switch (type) {
    case TarType::kCharDevice: return S_IFCHR;
    case TarType::kBlockDevice: return S_IFBLK;
    default: return S_IFIFO;
  }
}

}  // namespace

std::string clean_entry_path(std::string_view name) {
  std::string out;
  std::string_view rest = name;
  while (!rest.empty()) {
    std::size_t const slash = std::min(rest.find('/'), rest.size());
    std::string_view const part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (out.empty()) throw_corrupt("the name " + std::string(name) + " leads out of the layer");
      out = parent_of(out);
      continue;
    }
    if (part.size() > kComponentBytesMax) {
      throw_corrupt("a name of " + std::to_string(part.size()) + " bytes is too long");
    }
    out = join(out, part);
  }
  return out;
}

void make_whiteout_at(int parent_fd, const std::string& name) {
  if (::mknodat(parent_fd, name.c_str(), S_IFCHR, makedev(0, 0)) == 0) return;
  if (errno == EPERM) {
    throw Error(
        ErrorKind::kDenied,
        "make a whiteout: not permitted here. In a user namespace this needs Linux 5.8; in a "
        "container it needs CAP_MKNOD");
  }
  throw Error::from_errno(errno, "make a whiteout");
}

void make_opaque_at(int parent_fd, const std::string& name) {
  int const error = set_xattr_at(parent_fd, name, "user.overlay.opaque", "y");
  if (error == ENOTSUP) {
    throw Error(
        ErrorKind::kUnsupported,
        "mark a directory as opaque: the store's file system has no user attributes. Choose "
        "one that has them with --root");
  }
  if (error != 0) throw Error::from_errno(error, "mark a directory as opaque");
}

std::string LayerWriter::Place::path() const {
  return join(parent->path, name);
}

LayerWriter::LayerWriter(const std::filesystem::path& layer_dir, ApplyLimits limits, Meaning meaning)
    : limits_(limits), meaning_(meaning) {
  auto root = std::make_shared<Directory>();
  root->fd = open_file(layer_dir, O_PATH | O_DIRECTORY);
  root_ = std::move(root);
}

WrittenLayer LayerWriter::write(TarReader& tar) {
  TarEntry entry;
  while (tar.next(entry)) {
    ++result_.entries;
    try {
      write_entry(tar, entry);
    } catch (const Error& error) {
      throw error.with_context("unpacking /" + entry.name);
    }
  }
  finish_directories();
  result_.implicit_dirs.assign(implicit_.begin(), implicit_.end());
  return std::move(result_);
}

void LayerWriter::write_entry(TarReader& tar, const TarEntry& entry) {
  std::string const path = clean_entry_path(entry.name);
  // The root of a layer: BuildKit takes nothing from it either.
  if (path.empty()) return meaning_ == Meaning::kPlain ? write_root(entry) : void();
  Place const place = place_of(path, Missing::kMake);
  if (meaning_ == Meaning::kLayer && place.name.starts_with(kWhiteoutPrefix)) {
    return write_marker(place);
  }
  switch (entry.type) {
    case TarType::kRegular: return write_file(place, entry, tar);
    case TarType::kDirectory: return write_directory(place, entry);
    case TarType::kHardLink: return write_hard_link(place, entry);
    case TarType::kSymlink:
    case TarType::kFifo:
    case TarType::kCharDevice:
    case TarType::kBlockDevice: return write_node(place, entry);
  }
}

void LayerWriter::write_root(const TarEntry& entry) {
  if (entry.type != TarType::kDirectory) throw_corrupt("the root is not a directory");
  Place const place{root_, "."};
  set_owner(place, entry);
  set_xattrs(place, entry);
  if (::fchmodat(place.fd(), place.name.c_str(), entry.mode, 0) != 0) {
    throw Error::from_errno(errno, "set the mode");
  }
  root_time_ = to_timespec(entry);
}

void LayerWriter::write_marker(const Place& place) {
  if (place.name == kOpaqueMarker) {
    if (place.parent == root_) result_.has_opaque_root = true;
    return make_opaque_at(place.fd(), "");
  }
  // AUFS kept its own files under such names (".wh..wh.plnk"); they are no part of an image.
  if (place.name.starts_with(kMarkerPrefix)) return;
  std::string const name = place.name.substr(kWhiteoutPrefix.size());
  if (name.empty() || name == "." || name == "..") throw_corrupt("a whiteout of nothing");
  hide({place.parent, name});
}

/// A whiteout is about the layers below: what this layer brings under that name stays, whichever
/// comes first.
void LayerWriter::hide(const Place& place) {
  std::optional<struct stat> const status = stat_at(place.fd(), place.name.c_str());
  if (!status) return make_whiteout_at(place.fd(), place.name);
  if (S_ISDIR(status->st_mode)) make_opaque(place);
}

void LayerWriter::make_opaque(const Place& place) {
  make_opaque_at(place.fd(), place.name);
}

void LayerWriter::write_directory(const Place& place, const TarEntry& entry) {
  if (::mkdirat(place.fd(), place.name.c_str(), 0700) != 0) {
    if (errno != EEXIST) throw Error::from_errno(errno, "make a directory");
    struct stat const status = stat_at(place.fd(), place.name.c_str()).value();
    if (!S_ISDIR(status.st_mode)) {
      remove(place);
      if (::mkdirat(place.fd(), place.name.c_str(), 0700) != 0) {
        throw Error::from_errno(errno, "make a directory");
      }
      if (is_whiteout(status)) make_opaque(place);
    }
  }
  implicit_.erase(place.path());
  set_owner(place, entry);
  set_xattrs(place, entry);
  if (::fchmodat(place.fd(), place.name.c_str(), entry.mode, 0) != 0) {
    throw Error::from_errno(errno, "set the mode");
  }
  directory_times_.emplace_back(place.path(), to_timespec(entry));
}

void LayerWriter::write_file(const Place& place, const TarEntry& entry, TarReader& tar) {
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  int fd = ::openat(place.fd(), place.name.c_str(), kFlags, 0600);
  if (fd < 0 && errno == EEXIST) {
    remove(place);
    fd = ::openat(place.fd(), place.name.c_str(), kFlags, 0600);
  }
  if (fd < 0) throw Error::from_errno(errno, "make a file");
  UniqueFd file(fd);
  write_contents(file.get(), entry, tar);
  set_metadata(place, entry);
  file.close();
}

void LayerWriter::write_contents(int fd, const TarEntry& entry, TarReader& tar) {
  // Holes cost the archive nothing, but whoever reads the file gets all of them.
  if (entry.is_sparse) sparse_bytes_ += std::min(entry.size, limits_.tar_bytes_max + 1);
  if (sparse_bytes_ > limits_.tar_bytes_max) {
    throw_corrupt("sparse files of more than " + std::to_string(limits_.tar_bytes_max) +
                  " bytes: refusing what looks like a bomb");
  }
  for (TarData data = tar.read(); !data.bytes.empty(); data = tar.read()) {
    while (!data.bytes.empty()) {
      ssize_t const n =
          ::pwrite(fd, data.bytes.data(), data.bytes.size(), static_cast<off_t>(data.offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw Error::from_errno(errno, "write a file");
      auto const written = static_cast<std::size_t>(n);
      data.bytes = data.bytes.subspan(written);
      data.offset += written;
      result_.file_bytes += written;
    }
  }
  if (entry.is_sparse && ::ftruncate(fd, static_cast<off_t>(entry.size)) != 0) {
    throw Error::from_errno(errno, "write a sparse file");
  }
}

void LayerWriter::write_hard_link(const Place& place, const TarEntry& entry) {
  std::string const target = clean_entry_path(entry.link_name);
  if (target.empty()) throw_corrupt("a hard link to " + entry.link_name);
  Place const source = place_of(target, Missing::kTell);
  std::optional<struct stat> status;
  if (source.parent) status = stat_at(source.fd(), source.name.c_str());
  if (!status && meaning_ == Meaning::kPlain) {
    throw_corrupt("a hard link to " + entry.link_name + ", which is not there");
  }
  if (!status) {
    result_.deferred_links.push_back({place.path(), target});
    return;
  }
  if (is_whiteout(*status) || S_ISDIR(status->st_mode) || source.path() == place.path()) {
    throw_corrupt("a hard link to " + entry.link_name + ", which is " +
                  (S_ISDIR(status->st_mode) ? "a directory"
                   : is_whiteout(*status)   ? "deleted"
                                            : "itself"));
  }
  std::optional<struct stat> const existing = stat_at(place.fd(), place.name.c_str());
  bool const is_linked =
      existing && existing->st_ino == status->st_ino && existing->st_dev == status->st_dev;
  if (!is_linked) {
    if (existing) remove(place);
    if (::linkat(source.fd(), source.name.c_str(), place.fd(), place.name.c_str(), 0) != 0) {
      throw Error::from_errno(errno, "make a hard link to " + entry.link_name);
    }
  }
  set_metadata(place, entry);
}

void LayerWriter::write_node(const Place& place, const TarEntry& entry) {
  bool const is_char = entry.type == TarType::kCharDevice;
  bool const is_device = is_char || entry.type == TarType::kBlockDevice;
  // This is how overlay itself would read such a device.
  if (meaning_ == Meaning::kLayer && is_char && entry.device_major == 0 && entry.device_minor == 0) {
    return hide(place);
  }
  auto make = [&] {
    if (entry.type == TarType::kSymlink) {
      return ::symlinkat(entry.link_name.c_str(), place.fd(), place.name.c_str());
    }
    dev_t const device = is_device ? makedev(entry.device_major, entry.device_minor) : 0;
    return ::mknodat(place.fd(), place.name.c_str(), node_type(entry.type) | 0600, device);
  };
  int result = make();
  if (result != 0 && errno == EEXIST) {
    remove(place);
    result = make();
  }
  if (result != 0 && errno == EPERM && is_device) {
    return warn("the device /" + place.path() + " was left out: devices cannot be made here");
  }
  if (result != 0 && errno == ENOENT && entry.link_name.empty())
    throw_corrupt("a symlink to nothing");
  if (result != 0)
    throw Error::from_errno(errno, is_device ? "make a device" : "make a link or fifo");
  set_metadata(place, entry);
}

void LayerWriter::set_metadata(const Place& place, const TarEntry& entry) {
  set_owner(place, entry);
  set_xattrs(place, entry);
  struct stat const status = stat_at(place.fd(), place.name.c_str()).value();
  // After chown, which takes setuid away. Symlinks have no mode; a hard link may be to one.
  if (!S_ISLNK(status.st_mode) && (status.st_mode & 07777) != entry.mode &&
      ::fchmodat(place.fd(), place.name.c_str(), entry.mode, 0) != 0) {
    throw Error::from_errno(errno, "set the mode");
  }
  set_times(place.fd(), place.name, to_timespec(entry));
}

void LayerWriter::set_owner(const Place& place, const TarEntry& entry) {
  // A chown to the same owner would still take a file's capabilities away.
  if (entry.type == TarType::kHardLink) {
    struct stat const status = stat_at(place.fd(), place.name.c_str()).value();
    if (status.st_uid == entry.uid && status.st_gid == entry.gid) return;
  }
  if (::fchownat(place.fd(), place.name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) == 0)
    return;
  int const error = errno;
  std::string const what = "failed to Lchown \"/" + place.path() + "\" for UID " +
                           std::to_string(entry.uid) + ", GID " + std::to_string(entry.gid);
  if (error == EPERM) {
    struct stat const status = stat_at(place.fd(), place.name.c_str()).value();
    if (status.st_uid == entry.uid && status.st_gid == entry.gid) return;
  }
  if (error == EINVAL) {
    throw Error(ErrorKind::kDenied,
                what +
                    ": invalid argument (Hint: try increasing the number of subordinate IDs in "
                    "/etc/subuid and /etc/subgid)");
  }
  throw Error::from_errno(error, what);
}

void LayerWriter::set_xattrs(const Place& place, const TarEntry& entry) {
  for (const auto& [key, value] : entry.xattrs) {
    // Overlay's own, which would hide or redirect what is below; and those that only the host's
    // root may set.
    if (key.starts_with("trusted.") || key.starts_with("user.overlay.")) continue;
    if (key.empty() || key.size() > kComponentBytesMax || value.size() > limits_.xattr_bytes_max) {
      throw_corrupt("an extended attribute of " + std::to_string(value.size()) +
                    " bytes is too long");
    }
    int const error = set_xattr_at(place.fd(), place.name, key, value);
    if (error == 0) continue;
    if (error == ENOTSUP || error == EPERM) {
      warn("the attribute " + key + " of /" + place.path() +
           " was left out: it cannot be set here");
      continue;
    }
    throw Error::from_errno(error, "set the attribute " + key);
  }
}

void LayerWriter::finish_directories() {
  for (const std::string& path : implicit_) directory_times_.emplace_back(path, timespec{0, 0});
  for (const auto& [path, time] : directory_times_) {
    Place const place = place_of(path, Missing::kTell);
    if (!place.parent) continue;
    std::optional<struct stat> const status = stat_at(place.fd(), place.name.c_str());
    if (status && S_ISDIR(status->st_mode)) set_times(place.fd(), place.name, time);
  }
  if (root_time_) set_times(root_->fd.get(), ".", *root_time_);
}

LayerWriter::Place LayerWriter::place_of(const std::string& path, Missing missing) {
  links_followed_ = 0;
  return {open_directory(parent_of(path), missing), name_of(path)};
}

LayerWriter::DirectoryRef LayerWriter::open_directory(const std::string& path, Missing missing) {
  if (path.empty()) return root_;
  if (auto known = directories_.find(path); known != directories_.end()) return known->second;
  DirectoryRef const parent = open_directory(parent_of(path), missing);
  if (!parent) return nullptr;
  DirectoryRef directory = open_child(*parent, name_of(path), missing);
  if (!directory) return nullptr;
  if (directories_.size() >= kOpenDirectoriesMax) directories_.clear();
  directories_.emplace(path, directory);
  return directory;
}

LayerWriter::DirectoryRef LayerWriter::open_child(const Directory& parent, const std::string& name,
                                                  Missing missing) {
  constexpr int kFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  auto directory = std::make_shared<Directory>();
  int const fd = ::openat(parent.fd.get(), name.c_str(), kFlags);
  if (fd >= 0) {
    directory->fd = UniqueFd(fd);
    directory->path = join(parent.path, name);
    return directory;
  }
  std::optional<struct stat> const status = stat_at(parent.fd.get(), name.c_str());
  if (status && S_ISLNK(status->st_mode)) {
    if (++links_followed_ > kLinksMax) throw_corrupt("too many links on the way");
    std::string const target = read_link_at(parent.fd.get(), name.c_str());
    return open_directory(resolve_target(parent.path, target), missing);
  }
  if (status && !is_whiteout(*status)) {
    if (missing == Missing::kTell) return nullptr;
    throw_corrupt("/" + join(parent.path, name) + " is not a directory");
  }
  if (missing == Missing::kTell) return nullptr;
  if (status && ::unlinkat(parent.fd.get(), name.c_str(), 0) != 0) {
    throw Error::from_errno(errno, "replace a whiteout");
  }
  DirectoryRef made = make_implicit(parent, name);
  if (status) make_opaque_at(parent.fd.get(), name);
  return made;
}

LayerWriter::DirectoryRef LayerWriter::make_implicit(const Directory& parent,
                                                     const std::string& name) {
  auto directory = std::make_shared<Directory>();
  directory->path = join(parent.path, name);
  if (::mkdirat(parent.fd.get(), name.c_str(), 0755) != 0 ||
      ::fchmodat(parent.fd.get(), name.c_str(), 0755, 0) != 0) {
    throw Error::from_errno(errno, "make the directory /" + directory->path);
  }
  directory->fd = UniqueFd(
      ::openat(parent.fd.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (directory->fd.get() < 0)
    throw Error::from_errno(errno, "open the directory /" + directory->path);
  implicit_.insert(directory->path);
  return directory;
}

/// An archive may name a path twice: the later one wins.
void LayerWriter::remove(const Place& place) {
  if (::unlinkat(place.fd(), place.name.c_str(), 0) == 0) return;
  remove_tree_at(place.fd(), place.name);
  std::string const path = place.path();
  directories_.clear();
  std::erase_if(implicit_, [&](const std::string& p) { return is_at_or_below(p, path); });
  std::erase_if(result_.deferred_links,
                [&](const DeferredLink& link) { return is_at_or_below(link.path, path); });
}

void LayerWriter::warn(std::string what) {
  if (result_.warnings.size() < limits_.warnings_max) result_.warnings.push_back(std::move(what));
}

}  // namespace cobuild::oci
