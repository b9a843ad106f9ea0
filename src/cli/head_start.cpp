#include "cli/head_start.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "core/async/context.hpp"
#include "core/base/error.hpp"
#include "oci/export_index.hpp"
#include "oci/spec/media_type.hpp"

namespace cobuild::cli {
namespace {

/// What is smaller is sent once it is packed, in one request, if it is not there.
constexpr std::uint64_t kLargeBytes = std::uint64_t{16} << 20;
/// Of a chunk, at least: with many small ones, registries that keep blobs in an object store would
/// come to have many parts.
constexpr std::uint64_t kChunkBytes = std::uint64_t{16} << 20;
/// At most: proxies before registries have limits (Cloudflare's is 100 MB).
constexpr std::uint64_t kChunkBytesMax = std::uint64_t{64} << 20;

/// What fails is told to those who wait for that layer.
Task<void> wait(Shared<bool> sending) {
  try {
    static_cast<void>(co_await sending.get());
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
  }
}

Task<std::unique_ptr<oci::BlobReader>> open_whole(const ops::GrowingBlob& blob) {
  co_return blob.read_from(0);
}

bool is_same_repository(const oci::Reference& one, const oci::Reference& other) {
  return one.registry == other.registry && one.repository == other.repository;
}

}  // namespace

HeadStart::HeadStart(const PushOptions& options, Workspace& workspace, solve::StepSink& step)
    : options_(options),
      workspace_(workspace),
      step_(step),
      group_(workspace.runtime.loop().get_executor()) {
  for (const std::string& name : options.names) {
    oci::Reference repository = oci::Reference::parse(name);
    repository.tag.reset();
    repository.digest.reset();
    auto const same = [&](const Repository& other) {
      return is_same_repository(repository, other.name);
    };
    if (std::ranges::any_of(repositories_, same)) continue;
    repositories_.push_back({std::move(repository), nullptr});
  }
}

void HeadStart::begun(std::shared_ptr<ops::GrowingBlob> blob) {
  for (Repository& repository : repositories_) {
    auto compute = [this, &repository, blob] { return send(repository, blob); };
    Shared<bool> const done(workspace_.runtime.loop().get_executor(), compute);
    sendings_.push_back({repository.name, blob, done});
    group_.spawn(wait(done));
  }
}

Task<bool> HeadStart::wait_for(oci::Reference name, BlobDigest digest) {
  for (Sending& sending : sendings_) {
    if (sending.blob->digest() != digest || !is_same_repository(sending.repository, name)) continue;
    co_return co_await sending.done.get();
  }
  co_return false;
}

Task<void> HeadStart::stop() {
  group_.cancel();
  try {
    co_await group_.join();
  } catch (...) {
    if (!is_cancellation(std::current_exception())) throw;  // else it is what was asked for
  }
}

Task<bool> HeadStart::send(Repository& repository, std::shared_ptr<ops::GrowingBlob> blob) {
  std::uint64_t const ready = co_await blob->wait_for(kLargeBytes);
  if (has_failed_ || (blob->is_over() && !blob->digest())) co_return false;
  if (!repository.target) {
    repository.target = std::make_unique<PushTarget>(workspace_, repository.name.registry, options_);
  }
  oci::ContentTarget& target = repository.target->client();
  bool const is_whole = blob->is_over();
  bool is_there = false;
  try {
    is_there = is_whole ? co_await send_whole(target, repository.name, *blob, ready)
                        : co_await send_chunks(target, repository.name, *blob);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    has_failed_ = true;
    if (is_whole) throw;  // It has been tried as often as a push would.
    step_.log(2, "left to the push: " + std::string(error.what()) + "\n");
  }
  if (is_there) note_pushed(workspace_, repository.name, *blob->digest());
  co_return is_there;
}

Task<bool> HeadStart::send_whole(oci::ContentTarget& target, oci::Reference repository,
                                 const ops::GrowingBlob& blob, std::uint64_t size) {
  std::string const status = "sending layer: " + blob.description();
  step_.status(status, 0, static_cast<std::int64_t>(size), false);
  oci::OpenBlob open = [&blob] { return open_whole(blob); };
  std::vector<std::string> nowhere;
  co_await target.push_blob(std::move(repository),
                            oci::describe(std::string(oci::kOciLayerGzip), *blob.digest(), size),
                            std::move(open), std::move(nowhere));
  step_.status(status, static_cast<std::int64_t>(size), static_cast<std::int64_t>(size), true);
  co_return true;
}

Task<bool> HeadStart::send_chunks(oci::ContentTarget& target, oci::Reference repository,
                                  ops::GrowingBlob& blob) {
  auto const push = co_await target.begin_blob(std::move(repository));
  std::string const status = "sending layer: " + blob.description();
  std::uint64_t const length_min = std::max(kChunkBytes, push->length_min());
  std::uint64_t const length_max = std::max(kChunkBytesMax, push->length_min());
  std::uint64_t sent = 0;
  for (bool is_whole = false; !is_whole;) {
    std::uint64_t const ready = co_await blob.wait_for(sent + length_min);
    if (blob.is_over() && !blob.digest()) {
      co_await push->cancel();
      co_return false;
    }
    std::uint64_t const length = std::min(ready - sent, length_max);
    is_whole = blob.is_over() && sent + length == ready;
    if (length == 0) continue;
    auto const reader = blob.read_from(sent);
    co_await push->append(*reader, length);
    sent += length;
    step_.status(status, static_cast<std::int64_t>(sent), 0, false);
  }
  co_await push->finish(*blob.digest());
  step_.status(status, static_cast<std::int64_t>(sent), static_cast<std::int64_t>(sent), true);
  co_return true;
}

}  // namespace cobuild::cli
