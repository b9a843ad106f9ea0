#include "cli/head_start.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "cli/image_push.hpp"
#include "core/base/error.hpp"

namespace cobuild::cli {
namespace {

/// Less is sent as soon as it is packed, in one request.
constexpr std::uint64_t kLargeBytes = std::uint64_t{16} << 20;
/// Of a chunk, at least: with many small ones, registries that keep blobs in an object store would
/// come to have many parts.
constexpr std::uint64_t kChunkBytes = std::uint64_t{16} << 20;
/// At most: proxies before registries have limits (Cloudflare's is 100 MB).
constexpr std::uint64_t kChunkBytesMax = std::uint64_t{64} << 20;

Task<void> wait(Shared<bool> sending) {
  static_cast<void>(co_await sending.get());
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
    auto const same = [&](const oci::Reference& other) { return is_same_repository(repository, other); };
    if (std::ranges::none_of(repositories_, same)) repositories_.push_back(std::move(repository));
  }
}

void HeadStart::begun(std::shared_ptr<ops::GrowingBlob> blob) {
  for (const oci::Reference& repository : repositories_) {
    auto compute = [this, repository, blob] { return send(repository, blob); };
    Shared<bool> const done(workspace_.runtime.loop().get_executor(), compute);
    sendings_.push_back({repository, blob, done});
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
  } catch (const boost::system::system_error&) {  // what was asked for
  }
}

Task<bool> HeadStart::send(oci::Reference repository, std::shared_ptr<ops::GrowingBlob> blob) {
  if (co_await blob->wait_for(kLargeBytes) < kLargeBytes || has_failed_) co_return false;
  try {
    PushTarget const target(workspace_, repository.registry, options_);
    auto const push = co_await target.client().begin_blob(repository);
    if (co_await send_chunks(*push, *blob)) {
      note_pushed(workspace_, repository, *blob->digest());
      co_return true;
    }
    co_await push->cancel();
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kCancelled) throw;
    has_failed_ = true;
    step_.log(2, "left to the push: " + std::string(error.what()) + "\n");
  }
  co_return false;
}

Task<bool> HeadStart::send_chunks(oci::BlobPush& push, ops::GrowingBlob& blob) {
  std::string const status = "sending layer: " + blob.description();
  std::uint64_t sent = 0;
  for (bool is_whole = false; !is_whole;) {
    std::uint64_t const ready = co_await blob.wait_for(sent + kChunkBytes);
    if (blob.is_over() && !blob.digest()) co_return false;
    std::uint64_t const length = std::min(ready - sent, kChunkBytesMax);
    is_whole = blob.is_over() && sent + length == ready;
    if (length == 0) continue;
    auto const reader = blob.read_from(sent);
    co_await push.append(*reader, length);
    sent += length;
    step_.status(status, static_cast<std::int64_t>(sent), 0, false);
  }
  co_await push.finish(*blob.digest());
  step_.status(status, static_cast<std::int64_t>(sent), static_cast<std::int64_t>(sent), true);
  co_return true;
}

}  // namespace cobuild::cli
