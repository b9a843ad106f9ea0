#pragma once

/// The store: what earlier builds left, and what this one adds (DESIGN section 5).
///
/// One directory, used by any number of processes at once. The index is SQLite in WAL mode; bytes
/// are files. The order is always: write under a temporary name, verify, rename, then commit the
/// row; so a row never names something that is not whole, and a kill at any instant loses at most
/// what was being added.
///
/// Lives on the loop. Queries are short and run in place; anything that may wait (a write
/// transaction under contention, removing trees) goes to the pool. What this process has touched is
/// leased until the process ends, so that no other process's garbage collection takes it; a lease
/// dies with its process, however that ends.

#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "core/store/types.hpp"
#include "core/sys/fs.hpp"

namespace cobuild::store {

/// A layer being made: a directory that nobody else knows yet. Destroying it without commit removes
/// it.
class NewLayer {
 public:
  NewLayer(NewLayer&&) noexcept;
  NewLayer& operator=(NewLayer&&) noexcept;
  ~NewLayer();

  /// The future overlay lower directory; write the changes here (it is the upperdir of a mount, or
  /// the target of an unpack). Mode 0755, owned by root of this user namespace.
  [[nodiscard]] std::filesystem::path fs() const;
  /// An empty directory on the same file system: overlay's workdir.
  [[nodiscard]] std::filesystem::path work() const;
  /// A place for scratch files of the one who makes the layer; not kept.
  [[nodiscard]] std::filesystem::path scratch() const;

 private:
  friend class Store;
  explicit NewLayer(TempDir directory);
  TempDir directory_;
};

/// A blob being written. Destroying it without commit keeps nothing, but for a resumable one.
class NewBlob {
 public:
  NewBlob(NewBlob&&) noexcept;
  NewBlob& operator=(NewBlob&&) noexcept;
  ~NewBlob();

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  /// Bytes already here from an earlier try (resumable ingests only); hash them before going on.
  [[nodiscard]] std::int64_t offset() const noexcept { return offset_; }

 private:
  friend class Store;
  NewBlob() = default;
  UniqueFd fd_;
  std::filesystem::path path_;
  std::int64_t offset_ = 0;
  bool resumable_ = false;
  std::shared_ptr<void> lock_;  ///< Of a resumable one: nobody else writes it meanwhile.
};

struct LayerAttributes {
  std::string description = {};
  RecordKind kind = RecordKind::kRegular;
  std::optional<DiffId> diff_id = {};
  std::optional<LayerBlob> blob = {};
  std::optional<LayerId> amends = {};  ///< \see Layer::amends.
};

class Store {
 public:
  struct Options {
    std::filesystem::path root;
    std::chrono::milliseconds busy_timeout{
        10000};  ///< How long a writer waits for another process.
  };

  /// Opens the store, making or migrating it when needed, and starts this process's lease.
  /// \throws Error kUnsupported when a newer version made it, or its files do not have the owners that
  /// they had when they were made; kDenied, kUnavailable (disk full)
  /// with the path and what to do.
  static std::unique_ptr<Store> open(asio::io_context& loop, asio::thread_pool& pool,
                                     Options options);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] const std::filesystem::path& root() const noexcept;

  // ---- layers

  /// A fresh directory for a layer. \throws Error kUnavailable when the disk is full.
  [[nodiscard]] NewLayer new_layer();

  /// Makes the directory a layer: renamed into place, then the row. Leased to this process.
  Task<LayerId> commit_layer(NewLayer layer, LayerAttributes attributes);

  /// A layer of an image, by its chain ID, whose files are not here (only its blob's descriptor
  /// is). The same chain ID gives the same layer; sources are merged. Leased.
  Task<LayerId> add_remote_layer(ChainId chain_id, LayerAttributes attributes);

  /// Gives a layer added by add_remote_layer its files. If another process was first, `files` are
  /// dropped and theirs are taken.
  Task<void> commit_snapshot(LayerId id, NewLayer files);

  /// Records that `id`, sealed, has this diff ID and this blob (already committed to blobs/).
  Task<void> set_sealed(LayerId id, DiffId diff_id, LayerBlob blob);

  /// \throws Error kNotFound when there is no such layer (collected, or another store's).
  [[nodiscard]] Layer get_layer(LayerId id);
  [[nodiscard]] std::optional<LayerId> find_layer(ChainId chain_id);
  /// snapshots/<id>/fs. Exists only when the layer has_snapshot.
  [[nodiscard]] std::filesystem::path snapshot_path(LayerId id) const;

  /// Whether the layer has files that can be used. Unlike get_layer it finds out when that is not
  /// known, since a power cut may have damaged them: reads them once, on the pool, and forgets what
  /// is damaged. If two ask at once, one waits for the other. May be cancelled.
  Task<bool> confirm_snapshot(LayerId id);

  /// Says which of LayerBlob::sources this process can fetch from; all, until this is called.
  void set_reachable(std::function<bool(const std::string& source)> reachable);

  /// Notes a use (for GC order and `du`) and leases the layers to this process. False when one of
  /// them is gone, or is nowhere that this process can fetch from; then nothing is leased: a cached
  /// result that cannot be loaded (F2.6.22). Layers that a power cut may have damaged, and that cannot be fetched again, are
  /// looked at first; a damaged one is gone.
  Task<bool> use(LayerChain chain);

  // ---- blobs

  /// Starts a blob under a temporary name. With `resume`, the file is ingest/<digest>, kept when
  /// this process dies or fails, and taken up by the next; a second process that wants the same one
  /// waits for the first (and then finds the blob).
  Task<NewBlob> new_blob(std::optional<BlobDigest> resume = std::nullopt);

  /// Moves a written blob to blobs/sha256/<hex>. The caller has hashed what it wrote; `digest` must
  /// be that hash. Idempotent. \throws Error kUnavailable when the disk is full.
  Task<void> commit_blob(NewBlob blob, BlobDigest digest, std::int64_t size);

  [[nodiscard]] bool has_blob(BlobDigest digest) const;
  [[nodiscard]] std::filesystem::path blob_path(BlobDigest digest) const;

  // ---- small persistent maps

  /// Remembers `value` for (`table`, `key`) until it is collected or replaced: content digests,
  /// file digests, image configs by digest. Values are at most kNoteBytesMax.
  static constexpr std::size_t kNoteBytesMax = 1 << 20;
  void put_note(std::string_view table, std::string_view key, std::string_view value);
  [[nodiscard]] std::optional<std::string> get_note(std::string_view table, std::string_view key);
  void drop_note(std::string_view table, std::string_view key);
  /// All notes of `table`, by key: for tables of which people see a list.
  [[nodiscard]] std::map<std::string, std::string> list_notes(std::string_view table);

  /// Notes about a layer, which go when the layer does. `blob`: what the note speaks of; it stays
  /// while the layer does, and goes with it.
  void put_layer_note(LayerId layer, std::string_view name, std::string_view value,
                      std::optional<BlobDigest> blob = std::nullopt);
  [[nodiscard]] std::optional<std::string> get_layer_note(LayerId layer, std::string_view name);
  void drop_layer_note(LayerId layer, std::string_view name);

  // ---- waiting for others

  /// Exclusive among all processes using this store, for one name (a cache key being built, a layer
  /// being unpacked, a cache mount in locked mode). Waits without blocking the loop; released when
  /// the returned lock goes or the process dies. Cancelling the wait gives up.
  class Lock {
   public:
    Lock(Lock&&) noexcept;
    Lock& operator=(Lock&&) noexcept;
    ~Lock();

   private:
    friend class Store;
    struct State;
    explicit Lock(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
  };
  Task<Lock> lock(std::string name);
  /// As lock, but nullopt at once when somebody else has it.
  [[nodiscard]] std::optional<Lock> try_lock(std::string name);
  /// As try_lock, for one of many that may have it at the same time, when nobody has it alone.
  [[nodiscard]] std::optional<Lock> try_lock_shared(std::string name);

  /// Writes pending rows, so that other processes see them: before a key's lock is let go of.
  /// Cheap; the destructor does it too, but cannot report.
  Task<void> publish();
  /// publish, and then sees to it that after a power cut, or on another machine, what was added is
  /// still there or is known to be damaged: waits for the disk if that is quickly done, else notes
  /// checksums. Clears up what dead processes left. Called at the end of a build. Cancelling it ends
  /// the wait within a second; what publish wrote is there, but may not outlast a power cut.
  Task<void> flush();

  // ---- cache mounts and logs

  /// caches/<id>: the directory of a RUN --mount=type=cache, leased. When it is missing, it is made
  /// of `start`'s files, else empty with mode 0755.
  Task<std::filesystem::path> cache_mount(std::string id, std::string description,
                                          std::optional<NewLayer> start = std::nullopt);
  /// Whether it has a directory already, so that `start` would be dropped.
  [[nodiscard]] bool has_cache_mount(const std::string& id) const;
  /// Which lock says that somebody has it mounted. Whoever mounts it holds one.
  [[nodiscard]] static std::string cache_mount_lock(const std::string& id) { return "cache mount " + id; }
  /// The id of the `copy`-th directory of a cache mount whose users want to be alone; 0 is `id`.
  [[nodiscard]] static std::string cache_mount_copy(const std::string& id, int copy);
  /// The id of a cache mount that starts as the files of `input`.
  [[nodiscard]] static std::string cache_mount_on(const std::string& id, const std::string& input);
  /// Empties the cache mounts with these ids, their copies, and those of any input. Those that
  /// somebody has mounted stay as they are.
  Task<void> clear_cache_mounts(std::vector<std::string> ids);
  /// logs/<build>/: where whole step outputs go. Made by the first call.
  [[nodiscard]] std::filesystem::path logs_path() const;

  class Impl;
  /// For the other files of core/store (key index, garbage collection) only.
  [[nodiscard]] Impl& impl() noexcept { return *impl_; }

 private:
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cobuild::store
