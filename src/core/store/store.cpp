#include "core/store/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "core/base/assert.hpp"
#include "core/base/timings.hpp"
#include "core/store/durability.hpp"
#include "core/store/marks.hpp"
#include "core/store/schema.hpp"
#include "core/store/store_impl.hpp"
#include "core/sys/tree.hpp"

namespace cobuild::store {
namespace {

/// Makes a small file that is never seen half-written. If there is one, it stays: another process
/// may be opening the same new store, and may have gone further.
void make_file(const std::filesystem::path& path, std::string_view text) {
  // Not the process id: two sandboxes have two processes of one number.
  std::string temporary = path.string() + ".XXXXXX";
  UniqueFd file(::mkostemp(temporary.data(), O_CLOEXEC));
  if (!file) throw Error::from_errno(errno, "create " + temporary);
  bool const whole =
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
      ::fchmod(file.get(), 0644) == 0 && ::link(temporary.c_str(), path.c_str()) == 0;
  int const failure = errno;
  ::unlink(temporary.c_str());
  if (!whole && failure != EEXIST) throw Error::from_errno(failure, "write " + path.string());
}

void make_directory(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) {
    throw Error::from_errno(error.value(), "make the store " + path.string() +
                                               " (choose a directory you may write with --root)");
  }
}

/// Directories first and the database last: where there is a database, there is the rest.
std::filesystem::path prepare_directories(const std::filesystem::path& root) {
  auto database = root / "store.db";
  std::error_code error;
  if (std::filesystem::exists(database, error)) {
    check_marks(root);
    return database;
  }
  for (const char* part :
       {"blobs/sha256", "snapshots", "caches", "ingest", "leases", "locks", "logs"}) {
    make_directory(root / part);
  }
  make_file(root / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
  make_file(
      root / "index.json",
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]})");
  make_marks(root);
  return database;
}

Database& prepared(Database& database, const std::filesystem::path& root) {
  prepare_schema(database);
  forget_unsynced(database, root, boot_id());
  return database;
}

}  // namespace

std::string_view to_string(RecordKind kind) noexcept {
  switch (kind) {
    case RecordKind::kRegular: return "regular";
    case RecordKind::kInternal: return "internal";
    case RecordKind::kFrontend: return "frontend";
    case RecordKind::kLocalSource: return "source.local";
    case RecordKind::kGitCheckout: return "source.git.checkout";
    case RecordKind::kCacheMount: return "exec.cachemount";
  }
  return "regular";
}

// ---- NewLayer

NewLayer::NewLayer(TempDir directory) : directory_(std::move(directory)) {
  for (const auto& part : {fs(), work(), scratch()}) {
    if (::mkdir(part.c_str(), 0755) != 0) throw Error::from_errno(errno, "make " + part.string());
  }
  ::chmod(fs().c_str(), 0755);  // whatever the umask is: it is the mode of the image's root
}
NewLayer::NewLayer(NewLayer&&) noexcept = default;
NewLayer& NewLayer::operator=(NewLayer&& other) noexcept {
  NewLayer old(std::move(*this));
  directory_ = std::move(other.directory_);
  return *this;
}
NewLayer::~NewLayer() {
  if (directory_.path().empty()) return;
  try {
    remove_tree(directory_.path());
  } catch (...) {  // left for the sweep
  }
}

std::filesystem::path NewLayer::fs() const {
  return directory_.path() / "fs";
}
std::filesystem::path NewLayer::work() const {
  return directory_.path() / "work";
}
std::filesystem::path NewLayer::scratch() const {
  return directory_.path() / "scratch";
}

// ---- Store

Store::Impl::Impl(asio::io_context& loop_, asio::thread_pool& pool_, Options options)
    : pool(pool_),
      root(std::filesystem::absolute(options.root)),
      writer(prepare_directories(root), options.busy_timeout),
      reader(prepared(writer, root).path(), options.busy_timeout),
      writing(loop_.get_executor(), 1),
      lease(ProcessLease::create(leases_path())),
      locks(std::make_shared<LockTable>(loop_.get_executor(), root / "locks")) {
  make_directory(scratch_path());
  // A collector that does not know of us yet may be removing what it takes for nobody's.
  CollectorLock::wait_for_others(leases_path());
}

std::unique_ptr<Store> Store::open(asio::io_context& loop, asio::thread_pool& pool,
                                   Options options) {
  Timings::Span const span(Phase::kStore);
  return std::unique_ptr<Store>(new Store(std::make_unique<Impl>(loop, pool, std::move(options))));
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Store::~Store() {
  Timings::Span const span(Phase::kStore);
  try {
    impl_->write_last();
  } catch (
      ...) {  // without a living process the leases mean nothing; pending rows are only a cache
  }
  try {
    remove_tree(impl_->scratch_path());
  } catch (...) {  // left for the sweep
  }
  impl_.reset();  // here, so that closing the database is measured
}

const std::filesystem::path& Store::root() const noexcept {
  return impl_->root;
}

Task<void> Store::publish() {
  return impl_->publish();
}

Task<void> Store::flush() {
  co_await impl_->publish();
  co_await impl_->make_durable();
  auto job = [root = impl_->root, lease = impl_->lease.name()](Database& database) {
    sweep_dead_processes(database, root, lease);
    return remove_discarded(root, std::chrono::steady_clock::now() + kSweepTimeMax);
  };
  co_await impl_->write_in_steps(std::move(job));
}

std::int64_t Store::Impl::resolve(std::int64_t id) const {
  auto const found = written_ids.find(id);
  return found == written_ids.end() ? id : found->second;
}

Task<void> Store::Impl::publish() {
  if (pending.empty() && sealed.empty()) co_return;
  auto const slot = co_await writing.acquire();
  // Sealed under the slot: whoever comes next writes what is added from here on. Batches whose
  // writing failed are still there, and are tried again.
  if (!pending.empty()) {
    pending.replace_ids(written_ids);
    sealed.push_back(std::make_shared<const PendingRows>(std::exchange(pending, {})));
  }
  // What these batches name was written before them, or is among them.
  auto job = [database = &writer, batches = sealed]() {
    Timings::Span const span(Phase::kStore);
    WrittenIds ids;
    Transaction transaction(*database);
    for (const auto& batch : batches) batch->write(*database, ids);
    transaction.commit();
    return ids;
  };
  WrittenIds const ids = co_await offload(pool, std::move(job));
  written_ids.insert(ids.begin(), ids.end());
  sealed.clear();
  pending.replace_ids(ids);
}

void Store::Impl::write_last() {
  bool const has_rows = !pending.empty() || !sealed.empty();
  if (!has_rows && leased.empty() && leased_caches.empty()) return;
  Transaction transaction(writer);
  for (const auto& batch : sealed) batch->write(writer, written_ids);
  pending.replace_ids(written_ids);
  pending.write(writer, written_ids);
  std::string_view const name = lease.name();
  if (!leased.empty()) writer.run("DELETE FROM leases WHERE process = ?", {name});
  if (!leased_caches.empty()) writer.run("DELETE FROM cache_leases WHERE process = ?", {name});
  transaction.commit();
  sealed.clear();
  pending = {};
}

// ---- notes

void Store::put_note(std::string_view table, std::string_view key, std::string_view value) {
  COBUILD_ASSERT(value.size() <= kNoteBytesMax, "a note is small");
  impl_->pending.add_note(std::string(table), std::string(key), std::string(value));
}

std::optional<std::string> Store::get_note(std::string_view table, std::string_view key) {
  Timings::Span const span(Phase::kStore);
  std::string const topic(table);
  std::string const name(key);
  const std::optional<std::string>* found = nullptr;
  impl_->for_each_pending([&](const PendingRows& rows) {
    if (const auto* value = rows.find_note(topic, name)) found = value;
  });
  if (found != nullptr) return *found;
  Query row =
      impl_->reader.query("SELECT value FROM notes WHERE topic = ? AND name = ?", {table, key});
  if (!row.next()) return std::nullopt;
  return row.text(0);
}

void Store::drop_note(std::string_view table, std::string_view key) {
  impl_->pending.add_note(std::string(table), std::string(key), std::nullopt);
}

std::map<std::string, std::string> Store::list_notes(std::string_view table) {
  Timings::Span const span(Phase::kStore);
  std::map<std::string, std::string> notes;
  Query rows = impl_->reader.query("SELECT name, value FROM notes WHERE topic = ?", {table});
  while (rows.next()) notes.insert_or_assign(rows.text(0), rows.text(1));
  impl_->for_each_pending([&](const PendingRows& pending) {
    for (const auto& [name, value] : pending.notes_of(std::string(table))) {
      if (value) notes.insert_or_assign(name, *value);
      if (!value) notes.erase(name);
    }
  });
  return notes;
}

void Store::put_layer_note(LayerId layer, std::string_view name, std::string_view value,
                           std::optional<BlobDigest> blob) {
  COBUILD_ASSERT(value.size() <= kNoteBytesMax, "a note is small");
  impl_->pending.add_note(layer_topic(layer), std::string(name), std::string(value), layer,
                          blob ? std::optional(blob->digest()) : std::nullopt);
}

std::optional<std::string> Store::get_layer_note(LayerId layer, std::string_view name) {
  return get_note(layer_topic(layer), name);
}

void Store::drop_layer_note(LayerId layer, std::string_view name) {
  impl_->pending.add_note(layer_topic(layer), std::string(name), std::nullopt);
}

// ---- locks

struct Store::Lock::State {
  LockTable::Held held;
};

Store::Lock::Lock(std::unique_ptr<State> state) : state_(std::move(state)) {}
Store::Lock::Lock(Lock&&) noexcept = default;
Store::Lock& Store::Lock::operator=(Lock&&) noexcept = default;
Store::Lock::~Lock() = default;

Task<Store::Lock> Store::lock(std::string name) {
  LockTable::Held held = co_await impl_->locks->lock(std::move(name));
  co_return Lock(std::make_unique<Lock::State>(Lock::State{std::move(held)}));
}

std::optional<Store::Lock> Store::try_lock(std::string name) {
  auto held = impl_->locks->try_lock(name);
  if (!held) return std::nullopt;
  return Lock(std::make_unique<Lock::State>(Lock::State{std::move(*held)}));
}

std::optional<Store::Lock> Store::try_lock_shared(std::string name) {
  auto held = impl_->locks->try_lock(name, LockMode::kShared);
  if (!held) return std::nullopt;
  return Lock(std::make_unique<Lock::State>(Lock::State{std::move(*held)}));
}

// ---- logs

std::filesystem::path Store::logs_path() const {
  if (impl_->logs.empty()) {
    std::string const time = format_rfc3339(now()).substr(0, 19);  // sorts by time
    auto path = impl_->root / "logs" / (time + "-" + impl_->lease.name());
    make_directory(path);
    impl_->logs = std::move(path);
  }
  return impl_->logs;
}

}  // namespace cobuild::store
