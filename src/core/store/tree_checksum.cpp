#include "core/store/tree_checksum.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <isa-l/crc64.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "core/async/concurrency.hpp"
#include "core/async/runtime.hpp"
#include "core/base/error.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

/// Reading is bound by memory: more threads would only take from others.
constexpr unsigned kThreadsMax = 4;
/// Fits into the second-level cache, so that the CRC reads it from there.
constexpr std::size_t kBufferBytes = 256 * 1024;
/// Larger files are read by several threads. Part of the format.
constexpr std::int64_t kChunkBytes = std::int64_t{8} << 20;
constexpr std::size_t kBatchEntries = 64;
/// For so long pieces of work are done between two chances to be cancelled.
constexpr std::chrono::milliseconds kStepTime{50};
/// Changes when what is within the checksum does.
constexpr std::string_view kFormat = "1";

/// Spreads the bits, so that sums have nothing of a CRC's linearity (the end of splitmix64).
std::uint64_t spread(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

/// Two numbers to one; their order matters.
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  return spread(spread(a + 0x9e3779b97f4a7c15U) ^ b);
}

std::uint64_t crc(std::uint64_t before, const char* data, std::size_t size) {
  return ::crc64_ecma_refl(before, reinterpret_cast<const unsigned char*>(data), size);
}

/// Attributes that belong to the machine or to overlay's view of it, and are others in a copy.
bool is_attribute_of_place(std::string_view name) {
  if (name.starts_with("security.")) return name != "security.capability";
  for (std::string_view const prefix : {"user.overlay.", "trusted.overlay."}) {
    if (!name.starts_with(prefix)) continue;
    name.remove_prefix(prefix.size());
    return name == "origin" || name == "impure" || name == "nlink" || name == "uuid" ||
           name == "upper";
  }
  return false;
}

void append(std::string& text, std::uint64_t number) {
  for (int i = 0; i < 8; ++i, number >>= 8) text += static_cast<char>(number & 0xff);
}

/// With its length, so that two strings cannot be taken for two others.
void append(std::string& text, std::string_view part) {
  append(text, std::uint64_t{part.size()});
  text += part;
}

/// Those of `name` in `parent`, or of `file` where that is open: the kernel is asked by its
/// descriptor, which spares a walk through /proc for each of very many files.
Xattrs read_attributes(int parent, const std::string& name, const UniqueFd& file) {
  if (!file) return read_xattrs_at(parent, name);
  if (::flistxattr(file.get(), nullptr, 0) == 0) return {};
  return read_xattrs_at(file.get(), "");
}

/// What identifies an entry but for its content.
std::uint64_t identity(const std::string& path, const struct stat& status,
                       const std::string& link_target, const Xattrs& attributes) {
  std::string text;
  append(text, std::string_view(path));
  append(text, std::uint64_t{status.st_mode});
  append(text, std::uint64_t{status.st_uid});
  append(text, std::uint64_t{status.st_gid});
  append(text, static_cast<std::uint64_t>(status.st_mtim.tv_sec));
  if (S_ISREG(status.st_mode)) append(text, static_cast<std::uint64_t>(status.st_size));
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) {
    append(text, std::uint64_t{status.st_rdev});
  }
  append(text, std::string_view(link_target));
  for (const auto& [key, value] : attributes) {
    if (is_attribute_of_place(key)) continue;
    append(text, std::string_view(key));
    append(text, std::string_view(value));
  }
  return crc(0, text.data(), text.size());
}

UniqueFd open_entry(int parent, const std::string& name) {
  UniqueFd file(::openat(parent, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) throw Error::from_errno(errno, "open " + name);
  return file;
}

struct stat stat_of(int fd) {
  struct stat status{};
  if (::fstat(fd, &status) != 0) throw Error::from_errno(errno, "stat a file of a layer");
  return status;
}

/// The walk over one tree, by several threads at once: each takes the piece that is next.
///
/// The parts are added up, so that their order does not matter. A content counts once for each of
/// its names but is read once.
class TreeWalk {
 public:
  TreeWalk(std::filesystem::path root, std::int64_t bytes_max)
      : root_(std::move(root)), bytes_left_(bytes_max) {
    directories_.push_back(Listing{""});
  }

  /// Does some pieces on the calling thread. False when none are left, or one has failed.
  bool run_some();

  /// Once all threads are done.
  [[nodiscard]] std::optional<std::string> result() const;
  /// Of what may be read. Negative when that was not enough.
  [[nodiscard]] std::int64_t bytes_left() const noexcept { return bytes_left_; }

 private:
  /// A directory to be listed.
  struct Listing {
    std::string path;  ///< From the root, which is "".
  };
  struct Directory {
    UniqueFd fd;
    std::string path;
    std::vector<DirectoryEntry> entries;
  };
  struct Batch {
    std::shared_ptr<const Directory> directory;
    std::size_t begin;
    std::size_t end;
  };
  /// The bytes of a file that is large, or has several names.
  struct Content {
    std::atomic<std::uint64_t> sum = 0;
    std::vector<std::uint64_t> identities;  ///< One for each name.
  };
  struct Chunk {
    std::shared_ptr<const UniqueFd> file;
    Content* content;
    std::int64_t index;
    std::int64_t size;  ///< Of the file.
  };
  using Piece = std::variant<Listing, Batch, Chunk>;
  struct Sums {
    std::uint64_t hash = 0;
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;
  };

  [[nodiscard]] bool has_piece() const { return !pieces_.empty() || !directories_.empty(); }
  Piece take();
  void run(Listing& listing, std::string& buffer, Sums& sums);
  void run(Batch& batch, std::string& buffer, Sums& sums);
  void run(Chunk& chunk, std::string& buffer, Sums& sums);
  void add_entry(const Directory& directory, const DirectoryEntry& entry, std::string& buffer,
                 Sums& sums);
  void add_file(UniqueFd file, const struct stat& status, std::uint64_t id, std::string& buffer,
                Sums& sums);
  static std::uint64_t read_chunk(int fd, std::int64_t index, std::int64_t size,
                                  std::string& buffer);

  std::filesystem::path root_;
  std::atomic<std::int64_t> bytes_left_;
  mutable std::mutex mutex_;  ///< For all below.
  std::condition_variable changed_;
  /// The last first, and directories only when there is nothing else: so few files are open.
  std::vector<Piece> pieces_;
  std::vector<Listing> directories_;
  int running_ = 0;
  bool failed_ = false;
  Sums sums_;
  std::vector<std::unique_ptr<Content>> contents_;
  std::unordered_map<ino_t, Content*> linked_;  ///< Files with several names; one file system.
};

bool TreeWalk::run_some() {
  std::string buffer(kBufferBytes, '\0');
  std::unique_lock lock(mutex_);
  auto const end = std::chrono::steady_clock::now() + kStepTime;
  while (std::chrono::steady_clock::now() < end) {
    // Whoever runs a piece may add others; nobody runs one for long.
    changed_.wait(lock, [this] { return failed_ || has_piece() || running_ == 0; });
    if (failed_ || !has_piece()) return false;
    Piece piece = take();
    ++running_;
    lock.unlock();
    Sums sums;
    bool failed = false;
    try {
      std::visit([&](auto& what) { run(what, buffer, sums); }, piece);
    } catch (const std::exception&) {
      failed = true;  // the answer, see tree_checksum(); which entry it was is nobody's question
    }
    lock.lock();
    --running_;
    failed_ = failed_ || failed;
    sums_.hash += sums.hash;
    sums_.entries += sums.entries;
    sums_.bytes += sums.bytes;
    changed_.notify_all();
  }
  return true;
}

TreeWalk::Piece TreeWalk::take() {
  Piece piece = Listing{};
  if (!pieces_.empty()) {
    piece = std::move(pieces_.back());
    pieces_.pop_back();
  } else {
    piece = std::move(directories_.back());
    directories_.pop_back();
  }
  return piece;
}

void TreeWalk::run(Listing& listing, std::string&, Sums& sums) {
  auto directory = std::make_shared<Directory>();
  auto const path = listing.path.empty() ? root_ : root_ / listing.path;
  directory->fd = open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  directory->entries = list_directory(directory->fd.get());
  directory->path = std::move(listing.path);
  if (directory->path.empty()) {
    int const fd = directory->fd.get();
    sums.hash += mix(identity("", stat_of(fd), "", read_xattrs_at(fd, "")), 0);
    ++sums.entries;
  }
  std::lock_guard const lock(mutex_);
  for (std::size_t at = 0; at < directory->entries.size(); at += kBatchEntries) {
    std::size_t const end = std::min(at + kBatchEntries, directory->entries.size());
    pieces_.emplace_back(Batch{directory, at, end});
  }
}

void TreeWalk::run(Batch& batch, std::string& buffer, Sums& sums) {
  for (std::size_t i = batch.begin; i < batch.end; ++i) {
    add_entry(*batch.directory, batch.directory->entries[i], buffer, sums);
  }
}

void TreeWalk::run(Chunk& chunk, std::string& buffer, Sums&) {
  chunk.content->sum += read_chunk(chunk.file->get(), chunk.index, chunk.size, buffer);
}

void TreeWalk::add_entry(const Directory& directory, const DirectoryEntry& entry,
                         std::string& buffer, Sums& sums) {
  int const parent = directory.fd.get();
  const std::string& name = entry.name;
  UniqueFd file;
  std::optional<struct stat> status;
  if (entry.type != DT_REG) {
    status = stat_at(parent, name.c_str());
    if (!status) throw Error(ErrorKind::kNotFound, "stat " + name + ": it has gone");
  }
  if (!status || S_ISREG(status->st_mode)) {
    file = open_entry(parent, name);
    status = stat_of(file.get());
  }
  std::string path = directory.path.empty() ? name : directory.path + '/' + name;
  std::string const target =
      S_ISLNK(status->st_mode) ? read_link_at(parent, name.c_str()) : std::string();
  std::uint64_t const id = identity(path, *status, target, read_attributes(parent, name, file));
  ++sums.entries;
  if (file && status->st_size > 0) return add_file(std::move(file), *status, id, buffer, sums);
  sums.hash += mix(id, 0);
  if (!S_ISDIR(status->st_mode)) return;
  std::lock_guard const lock(mutex_);
  directories_.push_back(Listing{std::move(path)});
}

void TreeWalk::add_file(UniqueFd file, const struct stat& status, std::uint64_t id,
                        std::string& buffer, Sums& sums) {
  if ((bytes_left_ -= status.st_size) < 0) {
    throw Error(ErrorKind::kUnavailable, "more than may be read");
  }
  sums.bytes += static_cast<std::uint64_t>(status.st_size);
  bool const is_small = status.st_size <= static_cast<std::int64_t>(kBufferBytes);
  Content* content = nullptr;
  if (!is_small || status.st_nlink > 1) {
    std::lock_guard const lock(mutex_);
    Content*& known = linked_[status.st_ino];
    bool const is_new = known == nullptr;
    if (is_new) known = contents_.emplace_back(std::make_unique<Content>()).get();
    known->identities.push_back(id);
    if (!is_new) return;
    content = known;
  }
  if (is_small) {
    std::uint64_t const sum = read_chunk(file.get(), 0, status.st_size, buffer);
    if (content != nullptr) {
      content->sum += sum;
    } else {
      sums.hash += mix(id, sum);
    }
    return;
  }
  auto shared = std::make_shared<const UniqueFd>(std::move(file));
  std::lock_guard const lock(mutex_);
  for (std::int64_t index = 0; index * kChunkBytes < status.st_size; ++index) {
    pieces_.emplace_back(Chunk{shared, content, index, status.st_size});
  }
  changed_.notify_all();  // this piece goes on, and the new ones need not wait for its end
}

/// The part of a content's sum that is of the chunk at `index`.
std::uint64_t TreeWalk::read_chunk(int fd, std::int64_t index, std::int64_t size,
                                   std::string& buffer) {
  std::int64_t offset = index * kChunkBytes;
  std::int64_t const end = std::min(offset + kChunkBytes, size);
  std::uint64_t value = 0;
  while (offset < end) {
    std::size_t const wanted = std::min(buffer.size(), static_cast<std::size_t>(end - offset));
    ssize_t const n = ::pread(fd, buffer.data(), wanted, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error::from_errno(errno, "read a file of a layer");
    if (n == 0) throw Error(ErrorKind::kCorrupt, "read a file of a layer: it has become shorter");
    value = crc(value, buffer.data(), static_cast<std::size_t>(n));
    offset += n;
  }
  return mix(static_cast<std::uint64_t>(index) + 1, value);
}

std::optional<std::string> TreeWalk::result() const {
  std::lock_guard const lock(mutex_);
  if (failed_) return std::nullopt;
  std::uint64_t hash = sums_.hash;
  for (const auto& content : contents_) {
    for (std::uint64_t const id : content->identities) hash += mix(id, content->sum);
  }
  std::string text(kFormat);
  for (std::uint64_t const part : {hash, sums_.entries, sums_.bytes}) {
    text += '-';
    text += std::to_string(part);
  }
  return text;
}

Task<void> work(asio::thread_pool& pool, std::shared_ptr<TreeWalk> walk) {
  bool more = true;
  while (more) {
    auto step = [walk] { return walk->run_some(); };
    more = co_await offload(pool, std::move(step));
  }
}

}  // namespace

Task<std::optional<std::string>> tree_checksum(asio::thread_pool& pool,
                                               std::filesystem::path directory,
                                               std::int64_t* bytes_left) {
  std::int64_t const bytes_max =
      bytes_left != nullptr ? *bytes_left : std::numeric_limits<std::int64_t>::max();
  auto walk = std::make_shared<TreeWalk>(std::move(directory), bytes_max);
  unsigned const threads = std::clamp(cpus_allowed(), 1U, kThreadsMax);
  std::vector<unsigned> workers(threads);
  auto work_too = [&](unsigned) { return work(pool, walk); };
  co_await for_each_bounded(std::move(workers), threads, work_too);
  if (bytes_left != nullptr) *bytes_left = walk->bytes_left();
  co_return walk->result();
}

}  // namespace cobuild::store
