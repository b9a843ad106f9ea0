#include "ops/layer_fetcher.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "core/async/concurrency.hpp"
#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "core/base/timings.hpp"
#include "core/store/hearsay.hpp"
#include "core/sys/file_io.hpp"
#include "oci/layer_apply.hpp"

namespace cobuild::ops {
namespace {

/// Layers streamed at once: each holds three threads and a few MiB. More than the CPUs, since most
/// wait for the network.
constexpr std::size_t kStreamsMax = 6;
constexpr std::size_t kReadBytes = 256 * 1024;

/// Writes all of `chunk` at the file's position. Page cache writes are short enough for the loop, but
/// a full disk throttles them, so they go to the pool.
bool write_fully(int fd, std::span<const std::byte> chunk) {
  while (!chunk.empty()) {
    ssize_t const count = ::write(fd, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error::from_errno(errno, "write a layer's blob");
    chunk = chunk.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

/// The next bytes of a file, from `offset`.
struct Piece {
  std::vector<std::byte> bytes;
};

Piece read_piece(int fd, std::int64_t offset, std::int64_t end) {
  Piece piece;
  piece.bytes.resize(std::min<std::size_t>(kReadBytes, static_cast<std::size_t>(end - offset)));
  ssize_t count = 0;
  do {
    count = ::pread(fd, piece.bytes.data(), piece.bytes.size(), offset);
  } while (count < 0 && errno == EINTR);
  if (count < 0) throw Error::from_errno(errno, "read a layer's blob");
  piece.bytes.resize(static_cast<std::size_t>(count));
  return piece;
}

/// Feeds what a file holds up to `end` to the unpacking and, unless null, to `hash`.
Task<void> replay(asio::thread_pool& pool, int fd, std::int64_t end, oci::LayerApplier* applier,
                  DigestWriter* hash) {
  for (std::int64_t offset = 0; offset < end;) {
    auto read = [fd, offset, end] { return read_piece(fd, offset, end); };
    Piece piece = co_await offload(pool, read);
    if (piece.bytes.empty()) throw Error(ErrorKind::kCorrupt, "a layer's blob is cut short");
    if (hash != nullptr) {
      auto update = [hash, &piece] {
        hash->write(std::span<const std::byte>(piece.bytes));
        return true;
      };
      co_await offload(pool, update);
    }
    if (applier != nullptr) co_await applier->write(piece.bytes);
    offset += static_cast<std::int64_t>(piece.bytes.size());
  }
}

oci::Descriptor describe(const store::LayerBlob& blob) {
  oci::Descriptor descriptor{.media_type = blob.media_type, .digest = blob.digest,
                             .size = static_cast<std::uint64_t>(blob.size), .urls = {},
                             .annotations = {}, .platform = {}, .artifact_type = {}, .data = {}};
  return descriptor;
}

/// What is known of where a layer is, to see whether it is still the same.
std::string text_of(const std::vector<store::LayerBlob>& blobs) {
  std::string text;
  for (const store::LayerBlob& blob : blobs) {
    text += blob.digest.to_string() + (blob.present ? " here" : "");
    for (const std::string& source : blob.sources) text += " " + source;
    text += "\n";
  }
  return text;
}

/// Whether what came, or did not, is not the blob: asking anew in vain tells so for good.
bool is_about_the_bytes(const Error& error) {
  return error.kind() == ErrorKind::kCorrupt || error.kind() == ErrorKind::kNotFound ||
         error.kind() == ErrorKind::kDenied;
}

/// Whether other bytes, from elsewhere, would do: neither this disk nor the user is why it went wrong.
bool may_do_elsewhere(const Error& error, const store::Store& store) {
  return is_about_the_bytes(error) ||
         (error.kind() == ErrorKind::kUnavailable && !is_disk_full(store.root()));
}

}  // namespace

/// The files of a layer as they are unpacked.
class LayerFetcher::Unpacking {
 public:
  /// `fetcher` outlives this.
  Unpacking(LayerFetcher& fetcher, oci::ApplyOptions options)
      : fetcher_(fetcher), options_(std::move(options)), files_(fetcher.store_.new_layer()) {
    start();
  }

  [[nodiscard]] oci::LayerApplier& applier() noexcept { return *applier_; }
  [[nodiscard]] store::NewLayer& files() noexcept { return files_; }

  /// Drops what was unpacked; the applier is another one then.
  Task<void> restart() {
    applier_.reset();
    auto drop = [damaged = std::exchange(files_, fetcher_.store_.new_layer())] { return true; };
    start();
    co_await offload(fetcher_.pool_, std::move(drop));
  }

 private:
  void start() { applier_.emplace(fetcher_.executor_, files_.fs(), options_); }

  LayerFetcher& fetcher_;
  oci::ApplyOptions options_;
  store::NewLayer files_;
  std::optional<oci::LayerApplier> applier_;  ///< Writes to files_, so it goes first.
};

/// Where a download goes: the blob's file, the unpacking (unless null), and the progress.
class LayerFetcher::BlobTee final : public oci::BlobSink {
 public:
  /// `done` bytes of the blob are in the file and unpacked. What is passed by reference outlives this.
  BlobTee(asio::thread_pool& pool, int fd, Unpacking* unpacking, solve::StepSink& step,
          const store::LayerBlob& blob, std::int64_t done)
      : pool_(pool), fd_(fd), unpacking_(unpacking), step_(step), blob_(blob), done_(done) {}

  Task<void> write(std::span<const std::byte> chunk) override {
    int const fd = fd_;
    auto store = [fd, chunk] { return write_fully(fd, chunk); };
    co_await offload(pool_, store);
    if (unpacking_ != nullptr) co_await unpacking_->applier().write(chunk);
    done_ += static_cast<std::int64_t>(chunk.size());
    step_.status(blob_.digest.to_string(), done_, blob_.size, false);
  }

  Task<bool> restart() override {
    if (::ftruncate(fd_, 0) != 0 || ::lseek(fd_, 0, SEEK_SET) < 0) {
      throw Error::from_errno(errno, "begin " + blob_.digest.to_string() + " anew");
    }
    done_ = 0;
    if (unpacking_ != nullptr) co_await unpacking_->restart();
    co_return true;
  }

 private:
  asio::thread_pool& pool_;
  int fd_;
  Unpacking* unpacking_;
  solve::StepSink& step_;
  const store::LayerBlob& blob_;
  std::int64_t done_;
};

LayerFetcher::LayerFetcher(asio::any_io_executor executor, asio::thread_pool& pool,
                           store::Store& store, const ContentSources& sources)
    : executor_(executor),
      pool_(pool),
      store_(store),
      sources_(sources),
      streams_(executor, kStreamsMax) {}

Task<std::vector<std::filesystem::path>> LayerFetcher::directories(store::LayerChain chain,
                                                                   solve::StepSink& step) {
  std::vector<std::size_t> missing;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (!store_.get_layer(chain[i]).has_snapshot) missing.push_back(i);
  }
  // All at once; the semaphore inside bounds how many stream.
  auto ensure = [&](std::size_t position) { return ensure_snapshot(chain, position, step); };
  std::size_t const count = std::max<std::size_t>(1, missing.size());
  co_await for_each_bounded(std::move(missing), count, ensure);
  std::vector<std::filesystem::path> paths;
  paths.reserve(chain.size());
  for (store::LayerId const id : chain) paths.push_back(store_.snapshot_path(id));
  co_return paths;
}

Task<void> LayerFetcher::ensure_snapshot(store::LayerChain chain, std::size_t position,
                                         solve::StepSink& step) {
  store::LayerId const id = chain[position];
  auto found = jobs_.find(id);
  if (auto const lost = lost_.find(id); found != jobs_.end() && lost != lost_.end()) {
    // Again only if there is another place to try.
    if (lost->second != text_of(store_.get_layer(id).blobs)) {
      lost_.erase(lost);
      jobs_.erase(found);
      found = jobs_.end();
    }
  }
  if (found == jobs_.end()) {
    auto relay = std::make_shared<StepRelay>();
    auto compute = [this, chain, position, relay] { return make_snapshot(chain, position, relay); };
    found = jobs_.emplace(id, Job{Shared<bool>(executor_, compute), relay}).first;
  }
  Job job = found->second;  // The map may grow while we wait.
  StepRelay::Attachment const attachment(*job.relay, step);
  co_await job.done.get();
}

Task<bool> LayerFetcher::make_snapshot(store::LayerChain chain, std::size_t position,
                                       std::shared_ptr<StepRelay> relay) {
  store::LayerId const id = chain[position];
  // Another process may be at it; after the wait its work is ours.
  auto const lock = co_await store_.lock("layer " + std::to_string(id.value));
  if (co_await store_.confirm_snapshot(id)) co_return true;
  auto attempt = [&](store::LayerBlob blob) {
    return make_snapshot_of(std::move(blob), chain, position, *relay);
  };
  co_await try_each(id, candidates(store_.get_layer(id)), attempt);
  co_return true;
}

Task<void> LayerFetcher::make_snapshot_of(store::LayerBlob blob, store::LayerChain chain,
                                          std::size_t position, StepRelay& relay) {
  store::LayerId const id = chain[position];
  oci::ApplyOptions options;
  options.expected_diff_id = store_.get_layer(id).diff_id;
  std::optional<Unpacking> unpacking;
  std::optional<oci::AppliedLayer> applied;
  {
    auto const slot = co_await streams_.acquire();
    Timings::Span const span(Phase::kPull);
    unpacking.emplace(*this, std::move(options));
    co_await stream(std::move(blob), &*unpacking, relay);
    applied.emplace(co_await unpacking->applier().finish());
  }
  for (const std::string& warning : applied->warnings) relay.warn(warning);
  if (!applied->is_complete()) {
    store::LayerChain below(chain.begin(), chain.begin() + static_cast<std::ptrdiff_t>(position));
    auto lowers = co_await directories(std::move(below), relay);
    std::filesystem::path const directory = unpacking->files().fs();
    auto complete = [&] {
      oci::complete_layer(directory, lowers, *applied);
      return true;
    };
    co_await offload(pool_, complete);
  }
  co_await store_.commit_snapshot(id, std::move(unpacking->files()));
}

Task<void> LayerFetcher::fetch_blobs(store::LayerChain chain, solve::StepSink& step) {
  std::vector<store::LayerId> missing;
  for (store::LayerId const id : chain) {
    store::Layer const layer = store_.get_layer(id);
    bool const present = std::any_of(layer.blobs.begin(), layer.blobs.end(),
                                     [](const store::LayerBlob& blob) { return blob.present; });
    if (!present && !layer.blobs.empty()) missing.push_back(id);
  }
  auto fetch = [&](store::LayerId id) { return fetch_blob(id, step); };
  co_await for_each_bounded(std::move(missing), kStreamsMax, fetch);
}

Task<void> LayerFetcher::fetch_blob(store::LayerId id, solve::StepSink& step) {
  auto const lock = co_await store_.lock("layer " + std::to_string(id.value));
  Timings::Span const span(Phase::kPull);
  auto attempt = [&](store::LayerBlob blob) { return stream(std::move(blob), nullptr, step); };
  co_await try_each(id, candidates(store_.get_layer(id)), attempt);
}

Task<void> LayerFetcher::fetch_blob(store::LayerId id, BlobDigest digest, solve::StepSink& step) {
  auto const lock = co_await store_.lock("layer " + std::to_string(id.value));
  if (store_.has_blob(digest)) co_return;
  Timings::Span const span(Phase::kPull);
  std::vector<store::LayerBlob> blobs = store_.get_layer(id).blobs;
  std::erase_if(blobs, [&](const store::LayerBlob& blob) {
    return blob.digest != digest || blob.sources.empty();
  });
  if (blobs.empty()) {
    throw Error(ErrorKind::kNotFound, "blob " + digest.to_string() + " of layer " +
                                          std::to_string(id.value) +
                                          " is gone and it can be fetched from nowhere");
  }
  auto const slot = co_await streams_.acquire();
  auto attempt = [&](store::LayerBlob blob) { return download(std::move(blob), nullptr, step); };
  co_await try_each(id, std::move(blobs), attempt);
}

std::vector<store::LayerBlob> LayerFetcher::candidates(const store::Layer& layer) const {
  std::vector<store::LayerBlob> here;
  std::vector<store::LayerBlob> elsewhere;
  std::vector<store::LayerBlob> out_of_reach;  // To be told what is missing.
  for (const store::LayerBlob& blob : layer.blobs) {
    bool const in_reach = std::ranges::any_of(
        blob.sources, [this](const std::string& source) { return sources_.can_fetch(source); });
    if (blob.present && store_.has_blob(blob.digest)) {
      here.push_back(blob);
    } else if (!blob.sources.empty()) {
      (in_reach ? elsewhere : out_of_reach).push_back(blob);
    }
  }
  std::vector<store::LayerBlob> all = std::move(here);
  all.insert(all.end(), elsewhere.begin(), elsewhere.end());
  if (all.empty()) all = std::move(out_of_reach);
  if (all.empty()) {
    throw Error(ErrorKind::kNotFound, "the files of layer " + std::to_string(layer.id.value) +
                                          " are gone and it can be fetched from nowhere");
  }
  return all;
}

Task<void> LayerFetcher::try_each(store::LayerId id, std::vector<store::LayerBlob> blobs,
                                  const std::function<Task<void>(store::LayerBlob)>& attempt) {
  std::exception_ptr failure;
  for (store::LayerBlob& blob : blobs) {
    BlobDigest const digest = blob.digest;
    bool is_other = false;
    try {
      co_await attempt(std::move(blob));
      lost_.erase(id);
      co_return;
    } catch (const Error& error) {
      if (!may_do_elsewhere(error, store_)) throw;
      if (!failure) failure = std::current_exception();
      // The bytes that its digest tells of are here, and the layer is not made of them.
      is_other = error.kind() == ErrorKind::kCorrupt && store_.has_blob(digest);
    }
    if (is_other) co_await store::forget_blob(store_, id, digest);
  }
  lost_[id] = text_of(store_.get_layer(id).blobs);
  std::rethrow_exception(failure);
}

Task<void> LayerFetcher::stream(store::LayerBlob blob, Unpacking* unpacking,
                                solve::StepSink& step) {
  if (!blob.present || !store_.has_blob(blob.digest)) {
    co_await download(std::move(blob), unpacking, step);
    co_return;
  }
  if (unpacking == nullptr) co_return;
  UniqueFd const file = open_file(store_.blob_path(blob.digest), O_RDONLY);
  co_await replay(pool_, file.get(), blob.size, &unpacking->applier(), nullptr);
}

Task<void> LayerFetcher::download(store::LayerBlob blob, Unpacking* unpacking,
                                  solve::StepSink& step) {
  store::NewBlob file = co_await store_.new_blob(blob.digest);
  auto const applier = [unpacking] { return unpacking == nullptr ? nullptr : &unpacking->applier(); };
  if (store_.has_blob(blob.digest)) {  // Another process fetched it while we waited.
    UniqueFd const whole = open_file(store_.blob_path(blob.digest), O_RDONLY);
    co_await replay(pool_, whole.get(), blob.size, applier(), nullptr);
    co_return;
  }
  COBUILD_ASSERT(!blob.sources.empty(), "a layer that is not here says where it is from");
  std::vector<std::string> origins;
  std::ranges::copy_if(blob.sources, std::back_inserter(origins),
                       [this](const std::string& source) { return sources_.can_fetch(source); });
  if (origins.empty()) origins.push_back(blob.sources.front());
  std::int64_t offset = std::min(file.offset(), blob.size);
  BlobTee tee(pool_, file.fd(), unpacking, step, blob, offset);
  for (auto origin = origins.begin();;) {
    std::optional<Error> failure;
    try {
      if (auto const known = out_of_reach_.find(*origin); known != out_of_reach_.end()) {
        throw known->second;
      }
      oci::ResumePoint resume;
      if (offset > 0) co_await replay(pool_, file.fd(), offset, applier(), &resume.hash);
      resume.offset = static_cast<std::uint64_t>(offset);
      if (::lseek(file.fd(), offset, SEEK_SET) < 0) {
        throw Error::from_errno(errno, "resume " + blob.digest.to_string());
      }
      co_await download_from(*origin, blob, tee, std::move(resume));
      break;
    } catch (const Error& e) {
      if (!may_do_elsewhere(e, store_)) throw;
      if (!is_about_the_bytes(e)) out_of_reach_.insert_or_assign(*origin, e);
      failure = e;
    }
    // What an earlier build left may be what is wrong, and this must not be left to a later one. Of a
    // place that is out of reach it is still what a later build goes on with.
    bool const is_damage = is_about_the_bytes(*failure);
    if (!(std::exchange(offset, 0) > 0 && is_damage) && ++origin == origins.end()) {
      if (is_damage) ::unlink(file.path().c_str());
      throw *failure;
    }
    co_await tee.restart();
    step.log(2, std::string(failure->what()) + "; fetching it from " + *origin + "\n");
  }
  co_await store_.commit_blob(std::move(file), blob.digest, blob.size);
  step.status(blob.digest.to_string(), blob.size, blob.size, true);
}

Task<void> LayerFetcher::download_from(std::string origin, store::LayerBlob blob,
                                       oci::BlobSink& sink, oci::ResumePoint resume) {
  oci::Descriptor descriptor = describe(blob);
  if (origin.starts_with(kLayoutOrigin)) {
    std::string const name = origin.substr(kLayoutOrigin.size());
    auto found = sources_.layouts.find(name);
    if (found == sources_.layouts.end()) {
      throw Error(ErrorKind::kNotFound, "layer " + blob.digest.to_string() +
                                            " is in the OCI layout " + name +
                                            ": give it with --oci-layout " + name + "=DIR");
    }
    oci::Reference reference = oci::Reference::parse(name);
    co_await found->second->fetch_blob(std::move(reference), std::move(descriptor), sink,
                                       std::move(resume));
    co_return;
  }
  oci::Reference reference = oci::Reference::parse(origin);
  co_await sources_.registry.fetch_blob(std::move(reference), std::move(descriptor), sink,
                                        std::move(resume));
}

}  // namespace cobuild::ops
