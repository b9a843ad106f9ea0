#include "ops/copy_archive.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/go_path.hpp"
#include "core/sys/tree.hpp"
#include "oci/compression.hpp"
#include "oci/tar_header.hpp"

namespace cobuild::ops {

namespace {

constexpr std::size_t kReadBytes = 256 << 10;
/// Nothing at all, compressed, is at most this big; libarchive cannot tell it from damage.
constexpr std::int64_t kCompressedNothingMax = 40;
/// How much of a damaged file is looked at for a first header.
constexpr std::size_t kDamagedReadMax = 16 << 10;
constexpr mode_t kPermissionBits = 07777;

struct ArchiveClose {
  void operator()(archive* a) const noexcept { archive_read_free(a); }
};
using ArchiveReader = std::unique_ptr<archive, ArchiveClose>;

/// The one compression that the first bytes say; libarchive by itself would also take compressed
/// files within compressed files, and formats that ADD does not unpack.
[[nodiscard]] int filter_of(int fd) {
  std::array<char, 10> bytes{};
  ssize_t const n = ::pread(fd, bytes.data(), bytes.size(), 0);
  std::string_view const head(bytes.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  using namespace std::string_view_literals;
  if (head.starts_with("BZh"sv)) return ARCHIVE_FILTER_BZIP2;
  if (head.starts_with("\x1f\x8b\x08"sv)) return ARCHIVE_FILTER_GZIP;
  if (head.starts_with("\xfd\x37zXZ\0"sv)) return ARCHIVE_FILTER_XZ;
  if (head.starts_with("\x28\xb5\x2f\xfd"sv)) return ARCHIVE_FILTER_ZSTD;
  bool const skippable = head.size() >= 8 && (static_cast<unsigned char>(head[0]) & 0xF0) == 0x50 &&
                         head.substr(1, 3) == "\x2a\x4d\x18"sv;
  return skippable ? ARCHIVE_FILTER_ZSTD : ARCHIVE_FILTER_NONE;
}

[[nodiscard]] Error archive_error(archive* reader) {
  const char* text = archive_error_string(reader);
  return Error(ErrorKind::kCorrupt,
               std::string("read the archive: ") + (text != nullptr ? text : "unexpected end"));
}

/// Null when it cannot be set up, or the file cannot be read.
[[nodiscard]] ArchiveReader open_reader(int fd) {
  ArchiveReader reader(archive_read_new());
  if (!reader) throw Error(ErrorKind::kUnavailable, "set up libarchive");
  archive_read_support_format_tar(reader.get());
  int const filter = filter_of(fd);
  if (filter != ARCHIVE_FILTER_NONE &&
      archive_read_append_filter(reader.get(), filter) != ARCHIVE_OK) {
    return nullptr;
  }
  if (archive_read_open_fd(reader.get(), fd, kReadBytes) != ARCHIVE_OK) return nullptr;
  return reader;
}

/// Whether a compressed file is broken so early that libarchive, which unpacks some 64 kB before it
/// looks, cannot even tell what is in it.
[[nodiscard]] bool is_damaged_at_start(int fd) {
  int const filter = filter_of(fd);
  if (filter == ARCHIVE_FILTER_NONE || ::lseek(fd, 0, SEEK_SET) != 0) return false;
  ArchiveReader const reader(archive_read_new());
  if (!reader || archive_read_append_filter(reader.get(), filter) < ARCHIVE_WARN) return false;
  archive_read_support_format_raw(reader.get());  // takes any content
  archive_entry* content = nullptr;
  return archive_read_open_fd(reader.get(), fd, kReadBytes) != ARCHIVE_OK ||
         archive_read_next_header(reader.get(), &content) == ARCHIVE_FATAL;
}

/// The first block of what gzip or zstd hold, as far as it can be had in spite of damage after it.
[[nodiscard]] std::string first_block(int fd) {
  std::string block;
  auto const keep = [&block](std::span<const std::byte> data) {
    block.append(reinterpret_cast<const char*>(data.data()), data.size());
  };
  std::array<std::byte, kDamagedReadMax> input{};
  ssize_t const size = ::pread(fd, input.data(), input.size(), 0);
  try {
    oci::InflateStream unpacked({}, keep);
    // Singly, since a piece with damage in it gives nothing at all.
    for (ssize_t i = 0; i < size && block.size() < oci::kTarBlockBytes; ++i) {
      unpacked.write(std::span(input).subspan(static_cast<std::size_t>(i), 1));
    }
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kCorrupt) throw;
  }
  return block;
}

/// By its checksum: the sum of the bytes, where its own eight are taken as spaces.
[[nodiscard]] bool is_tar_header(std::string_view block) {
  constexpr std::size_t kChecksumAt = 148;
  constexpr std::size_t kChecksumBytes = 8;
  if (block.size() < oci::kTarBlockBytes) return false;
  unsigned sum = kChecksumBytes * ' ';
  for (std::size_t i = 0; i < oci::kTarBlockBytes; ++i) {
    bool const own = i >= kChecksumAt && i < kChecksumAt + kChecksumBytes;
    if (!own) sum += static_cast<unsigned char>(block[i]);
  }
  unsigned said = 0;
  for (char const c : block.substr(kChecksumAt, kChecksumBytes)) {
    if (c >= '0' && c <= '7') said = said * 8 + static_cast<unsigned>(c - '0');
  }
  return sum == said;
}

[[nodiscard]] bool is_named_as_archive(const std::string& path) {
  constexpr std::array<std::string_view, 12> kEndings = {
      ".tgz",     ".tbz",    ".tbz2",   ".tb2",     ".txz",    ".tzst",
      ".tar.bz2", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz", ".tar"};
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view ending) { return path.ends_with(ending); });
}

/// Writes the entries of one archive below one directory.
class Unpacker {
 public:
  Unpacker(ArchiveReader reader, TargetRoot root, const UnpackOptions& options)
      : reader_(std::move(reader)), root_(std::move(root)), options_(options) {}

  void run() {
    std::size_t count = 0;
    for (;;) {
      if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
        throw Error(ErrorKind::kCancelled, "stopped");
      }
      archive_entry* entry = nullptr;
      int const status = archive_read_next_header(reader_.get(), &entry);
      if (status == ARCHIVE_EOF) break;
      if (status < ARCHIVE_WARN) throw archive_error(reader_.get());
      if (++count > kArchiveEntriesMax) {
        throw Error(ErrorKind::kCorrupt, "the archive has too many entries");
      }
      unpack(entry);
    }
    // Entries that came later have changed their directories' times.
    for (const auto& [path, times] : directory_times_) {
      if (!root_.status(path)) continue;
      TargetRoot::Place const place = root_.place(path, "utimes");
      set_times(place, path, times);
    }
  }

 private:
  using Times = std::array<timespec, 2>;

  void unpack(archive_entry* entry) {
    const char* raw = archive_entry_pathname(entry);
    if (raw == nullptr) throw Error(ErrorKind::kCorrupt, "an entry of the archive has no name");
    std::string const name = go_path::join("/", raw);
    if (name.size() > kArchivePathMax) {
      throw Error(ErrorKind::kCorrupt, "an entry of the archive has a name that is too long");
    }
    bool const is_directory =
        archive_entry_hardlink(entry) == nullptr && archive_entry_filetype(entry) == AE_IFDIR;
    std::string const parent = find_parent(name);
    static_cast<void>(root_.make_directories(parent, 0755, {.owner = Owner{}, .time = {}}));
    std::string const path = name == "/" ? name : go_path::join(parent, go_path::base(name));
    TargetRoot::Place const place = root_.place(path, "open");

    std::optional<struct stat> const existing = root_.status(path);
    if (existing && S_ISDIR(existing->st_mode) && path == "/") return;
    bool const merges = existing && S_ISDIR(existing->st_mode) && is_directory;
    if (existing && !merges) remove_tree_at(place.directory.get(), place.name);
    if (!make(entry, place, path, merges)) return;
    if (archive_entry_hardlink(entry) == nullptr || !is_link(place))
      set_metadata(entry, place, path);
    if (is_directory) directory_times_.emplace_back(path, times_of(entry));
  }

  /// The directory of an entry, links followed. What is missing is made later, but not what a link
  /// leads to.
  [[nodiscard]] std::string find_parent(const std::string& name) const {
    std::string const written = go_path::dir(name);
    std::string parent = root_.resolve(written);
    if (written == "/" || root_.status(parent)) return parent;
    std::string const above = root_.resolve(go_path::dir(written));
    if (root_.status(go_path::join(above, go_path::base(written)))) {
      throw path_error("open", name, ENOENT);
    }
    return parent;
  }

  [[nodiscard]] static bool is_link(const TargetRoot::Place& place) {
    auto const status = stat_at(place.directory.get(), place.name.c_str());
    return status && S_ISLNK(status->st_mode);
  }

  /// False when there is nothing to be made of this entry.
  bool make(archive_entry* entry, const TargetRoot::Place& place, const std::string& path,
            bool exists) {
    int const directory = place.directory.get();
    const char* name = place.name.c_str();
    if (const char* target = archive_entry_hardlink(entry)) {
      make_hard_link(target, place, path);
      return true;
    }
    mode_t const mode = archive_entry_perm(entry) & kPermissionBits;
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        if (!exists && ::mkdirat(directory, name, mode) != 0)
          throw path_error("mkdir", path, errno);
        return true;
      case AE_IFREG: write_file(place, path); return true;
      case AE_IFLNK: {
        const char* target = archive_entry_symlink(entry);
        if (::symlinkat(target != nullptr ? target : "", directory, name) != 0) {
          throw path_error("symlink", path, errno);
        }
        return true;
      }
      case AE_IFIFO: return make_node(place, path, S_IFIFO | mode, 0);
      case AE_IFCHR: return make_node(place, path, S_IFCHR | mode, archive_entry_rdev(entry));
      case AE_IFBLK: return make_node(place, path, S_IFBLK | mode, archive_entry_rdev(entry));
      default: return false;
    }
  }

  static bool make_node(const TargetRoot::Place& place, const std::string& path, mode_t mode,
                        dev_t device) {
    if (::mknodat(place.directory.get(), place.name.c_str(), mode, device) == 0) return true;
    if (errno == EPERM) return false;  // In a user namespace there are no devices.
    throw path_error("mknod", path, errno);
  }

  void make_hard_link(const char* raw_target, const TargetRoot::Place& place,
                      const std::string& path) const {
    std::string const target = go_path::join("/", raw_target);
    std::string const parent = root_.resolve(go_path::dir(target));
    TargetRoot::Place const from =
        root_.place(go_path::join(parent, go_path::base(target)), "link");
    if (::linkat(from.directory.get(), from.name.c_str(), place.directory.get(), place.name.c_str(),
                 0) != 0) {
      throw path_error("link", path, errno);
    }
  }

  void write_file(const TargetRoot::Place& place, const std::string& path) const {
    UniqueFd file(::openat(place.directory.get(), place.name.c_str(),
                           O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file) throw path_error("open", path, errno);
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    for (;;) {
      int const status = archive_read_data_block(reader_.get(), &data, &size, &offset);
      if (status == ARCHIVE_EOF) break;
      if (status < ARCHIVE_WARN) throw archive_error(reader_.get());
      write_at(file.get(), static_cast<const char*>(data), size, offset, path);
    }
    // A file may end in a hole: then the size is known from the header alone.
    if (::lseek(file.get(), 0, SEEK_END) < offset && ::ftruncate(file.get(), offset) != 0) {
      throw path_error("truncate", path, errno);
    }
    file.close();
  }

  static void write_at(int fd, const char* data, std::size_t size, la_int64_t offset,
                       const std::string& path) {
    while (size > 0) {
      ssize_t const n = ::pwrite(fd, data, size, offset);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw path_error("write", path, errno);
      data += n;
      offset += n;
      size -= static_cast<std::size_t>(n);
    }
  }

  void set_metadata(archive_entry* entry, const TargetRoot::Place& place, const std::string& path) {
    int const directory = place.directory.get();
    Owner const owner =
        options_.owner.value_or(Owner{.uid = static_cast<uid_t>(archive_entry_uid(entry)),
                                      .gid = static_cast<gid_t>(archive_entry_gid(entry))});
    change_owner(directory, place.name, path, owner);
    set_xattrs(entry, place);
    auto const status = stat_at(directory, place.name.c_str());
    if (status && !S_ISLNK(status->st_mode)) {
      mode_t const mode = archive_entry_perm(entry) & kPermissionBits;
      if (::fchmodat(directory, place.name.c_str(), mode, 0) != 0) {
        throw path_error("chmod", path, errno);
      }
    }
    set_times(place, path, times_of(entry));
  }

  static void set_xattrs(archive_entry* entry, const TargetRoot::Place& place) {
    archive_entry_xattr_reset(entry);
    const char* name = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
      std::string const key(name);
      if (key.starts_with("user.overlay.") || key.starts_with("trusted.overlay.")) continue;
      // Best effort, as in BuildKit: many file systems and namespaces refuse some.
      static_cast<void>(set_xattr_at(place.directory.get(), place.name, key,
                                     {static_cast<const char*>(value), size}));
    }
  }

  /// Modification time, and access time where the archive has a later one. Before 1970 is 1970.
  [[nodiscard]] static Times times_of(archive_entry* entry) {
    timespec modified{};
    if (archive_entry_mtime_is_set(entry) != 0) {
      modified = {.tv_sec = archive_entry_mtime(entry), .tv_nsec = archive_entry_mtime_nsec(entry)};
    }
    if (modified.tv_sec < 0) modified = {};
    timespec accessed = modified;
    if (archive_entry_atime_is_set(entry) != 0 && archive_entry_atime(entry) > modified.tv_sec) {
      accessed = {.tv_sec = archive_entry_atime(entry), .tv_nsec = archive_entry_atime_nsec(entry)};
    }
    return {accessed, modified};
  }

  static void set_times(const TargetRoot::Place& place, const std::string& path,
                        const Times& times) {
    if (::utimensat(place.directory.get(), place.name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) !=
        0) {
      throw path_error("utimes", path, errno);
    }
  }

  ArchiveReader reader_;
  TargetRoot root_;
  const UnpackOptions& options_;
  std::vector<std::pair<std::string, Times>> directory_times_;
};

}  // namespace

bool is_archive(const FileTree& tree, const FileTree::Entry& entry) {
  if (!entry.is_regular() || entry.size == 0) return false;
  UniqueFd const file = tree.open_file(entry);
  if (ArchiveReader const reader = open_reader(file.get())) {
    archive_entry* first = nullptr;
    int const status = archive_read_next_header(reader.get(), &first);
    if (status == ARCHIVE_OK || status == ARCHIVE_WARN) return true;
  }
  // Copying a broken archive as a file would hide that it is one.
  return entry.size > kCompressedNothingMax && is_damaged_at_start(file.get()) &&
         (is_named_as_archive(tree.path_of(entry)) || is_tar_header(first_block(file.get())));
}

void unpack_archive(const FileTree& tree, const FileTree::Entry& entry, const TargetRoot& target,
                    const std::string& destination, const UnpackOptions& options) {
  std::string const path = target.resolve(destination);
  static_cast<void>(
      target.make_directories(path, 0755, {.owner = options.owner, .time = options.time}));
  UniqueFd const file = tree.open_file(entry);
  ArchiveReader reader = open_reader(file.get());
  if (!reader) {  // libarchive says "unrecognized format", which is not the cause
    throw Error(ErrorKind::kCorrupt, "unpack " + tree.path_of(entry) + " to " + path +
                                         ": its compressed data is truncated or damaged");
  }
  UniqueFd root = open_in_root(target.fd(), path, O_RDONLY | O_DIRECTORY);
  try {
    Unpacker(std::move(reader), TargetRoot(std::move(root)), options).run();
    tree.check_unchanged(entry, file.get());
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    tree.check_unchanged(entry, file.get());  // then that is the cause
    throw error.with_context("unpack " + tree.path_of(entry) + " to " + path);
  }
}

std::optional<std::int64_t> newest_file_time(int fd, const std::atomic<bool>* stop) {
  std::optional<std::int64_t> newest;
  ArchiveReader const reader = open_reader(fd);
  if (!reader) return newest;
  for (std::size_t count = 0; count < kArchiveEntriesMax; ++count) {
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) {
      throw Error(ErrorKind::kCancelled, "stopped");
    }
    archive_entry* entry = nullptr;
    int const status = archive_read_next_header(reader.get(), &entry);
    if (status == ARCHIVE_EOF) return newest;
    if (status < ARCHIVE_WARN) return std::nullopt;
    bool const is_file =
        archive_entry_hardlink(entry) != nullptr || archive_entry_filetype(entry) == AE_IFREG;
    if (!is_file) continue;
    std::int64_t const time = archive_entry_mtime(entry);
    newest = std::max(newest.value_or(time), time);
  }
  return newest;
}

}  // namespace cobuild::ops
