#include "registry/upload.hpp"

#include <algorithm>
#include <exception>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

/// An upload that got this much further starts its count of attempts anew.
constexpr std::uint64_t kProgressBytes = 1024 * 1024;
/// The first chunk of a blob that is refused as a whole is at most this long; each further refusal
/// makes chunks a quarter as long. nginx takes 1 MiB as it is installed.
constexpr std::uint64_t kChunkBytesMax = 32ULL * 1024 * 1024;
constexpr std::uint64_t kChunkBytesMin = 256ULL * 1024;
constexpr std::size_t kSkipBufferBytes = 256UL * 1024;

/// What keeps us from reading our own blob is no reason to ask the registry again.
Task<Attempt<std::unique_ptr<oci::BlobReader>>> try_open(const oci::OpenBlob& open) {
  try {
    co_return co_await open();
  } catch (const Error& error) {
    co_return Failure{.error = error, .retry_after = {}, .fatal = std::current_exception()};
  }
}

/// Reads what the registry has already.
Task<void> skip(oci::BlobReader& reader, std::uint64_t bytes) {
  std::vector<std::byte> buffer(
      static_cast<std::size_t>(std::min<std::uint64_t>(bytes, kSkipBufferBytes)));
  while (bytes > 0) {
    auto const room = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(bytes, buffer.size())));
    std::size_t const count = co_await reader.read(room);
    if (count == 0) throw Error(ErrorKind::kCorrupt, "content is shorter than announced");
    bytes -= count;
  }
}

/// Whether a refusal says that other bytes arrived than were announced.
bool is_about_content(const Error& error) {
  std::string_view const text = error.what();
  return text.find("DIGEST_INVALID") != std::string_view::npos ||
         text.find("SIZE_INVALID") != std::string_view::npos;
}

}  // namespace

Task<Attempt<bool>> try_head_blob(Session& session, Endpoint endpoint, BlobDigest digest) {
  Request request;
  request.method = Method::kHead;
  request.url = endpoint.url("blobs/" + digest.to_string());
  std::vector<std::string> scopes = {push_scope(endpoint.repository)};
  ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  int const status = got.response->status();
  if (status == 200) co_return true;
  if (status == 404 || status == 403) co_return false;
  co_return co_await session.failure(std::move(endpoint), std::move(got));
}

Upload::Upload(Session& session, Endpoint endpoint, oci::Descriptor blob, oci::OpenBlob open)
    : session_(session),
      endpoint_(std::move(endpoint)),
      blob_(std::move(blob)),
      open_(std::move(open)),
      upload_(session, endpoint_) {}

/// After a 413. False: they are as small as they get.
bool Upload::take_smaller_chunks() {
  std::uint64_t const now =
      chunk_bytes_ == 0 ? std::min(4 * kChunkBytesMax, blob_.size) : chunk_bytes_;
  if (now / 4 < std::max(kChunkBytesMin, upload_.chunk_bytes_min())) return false;
  chunk_bytes_ = now / 4;
  return true;
}

/// What a refusal to what was sent means for the next attempt; nullopt: there was none.
Task<std::optional<Failure>> Upload::judge(std::optional<ApiResponse> refusal) {
  if (!refusal) co_return std::nullopt;
  int const status = refusal->response->status();
  Failure failure = co_await upload_.failure(*std::move(refusal));
  if (status == 413) {
    if (take_smaller_chunks()) {
      failure.may_pass = true;
      failure.progressed = true;
      failure.retry_after = std::chrono::milliseconds(0);
    } else {
      failure.error = Error(failure.error.kind(),
                            std::string(failure.error.what()) +
                                ": the registry, or a proxy before it, takes no request of that "
                                "length: its limit must be raised");
    }
  } else if (status == 404 || status == 416) {
    // It has forgotten the upload, or is not where we thought.
    failure.may_pass = true;
    if (status == 404) upload_.forget();
  } else if (is_about_content(failure.error)) {
    failure.may_pass = false;
    failure.damaged = true;
    upload_.forget();
  }
  co_return failure;
}

Task<Attempt<bool>> Upload::mount(std::string from) {
  UploadSession::Mount mount{blob_.digest, std::move(from)};
  co_return co_await upload_.begin(std::move(mount));
}

/// What the registry has not, which is where `reader` is.
Task<std::optional<Failure>> Upload::send_chunks(oci::BlobReader& reader) {
  while (upload_.offset() < blob_.size) {
    std::uint64_t const left = blob_.size - upload_.offset();
    std::uint64_t const length = chunk_bytes_ == 0 ? left : std::min(left, chunk_bytes_);
    auto failure = co_await judge(co_await upload_.append(reader, length));
    if (failure) co_return failure;
  }
  co_return co_await judge(co_await upload_.finish(blob_.digest));
}

Task<Attempt<std::monostate>> Upload::send_rest() {
  if (std::exchange(tried_, true)) {
    // The registry may have had all of it, and only its answer was lost.
    auto there = co_await try_head_blob(session_, endpoint_, blob_.digest);
    if (auto* failure = std::get_if<Failure>(&there)) co_return std::move(*failure);
    if (std::get<bool>(there)) co_return std::monostate();
    if (upload_.is_open()) co_await upload_.ask_how_far(blob_.size);
  }
  auto opened = co_await try_open(open_);
  if (auto* failure = std::get_if<Failure>(&opened)) co_return std::move(*failure);
  auto const& reader = std::get<std::unique_ptr<oci::BlobReader>>(opened);
  if (!upload_.is_open()) {
    auto begun = co_await upload_.begin(std::nullopt);
    if (auto* failure = std::get_if<Failure>(&begun)) co_return std::move(*failure);
  }
  std::optional<Failure> failure;
  if (upload_.offset() == 0 && chunk_bytes_ == 0) {
    failure = co_await judge(co_await upload_.finish(blob_.digest, *reader, blob_.size));
  } else {
    co_await skip(*reader, upload_.offset());
    failure = co_await send_chunks(*reader);
  }
  if (failure) co_return std::move(*failure);
  co_return std::monostate();
}

Task<Attempt<std::monostate>> Upload::send() {
  auto outcome = co_await guarded<std::monostate>(send_rest());
  if (auto* failure = std::get_if<Failure>(&outcome);
      failure && upload_.offset() >= counted_ + kProgressBytes) {
    counted_ = upload_.offset();
    failure->progressed = true;
  }
  co_return outcome;
}

Task<std::unique_ptr<oci::BlobPush>> GrowingUpload::begin(Session& session, Endpoint endpoint) {
  UploadSession upload(session, std::move(endpoint));
  auto begun = co_await upload.begin(std::nullopt);
  if (auto* failure = std::get_if<Failure>(&begun)) throw failure->error;
  co_return std::make_unique<GrowingUpload>(std::move(upload));
}

Task<void> GrowingUpload::check(std::optional<ApiResponse> refusal) {
  if (!refusal) co_return;
  Failure const failure = co_await upload_.failure(*std::move(refusal));
  throw failure.error;
}

Task<void> GrowingUpload::append(oci::BlobReader& reader, std::uint64_t length) {
  co_await check(co_await upload_.append(reader, length));
}

Task<void> GrowingUpload::finish(BlobDigest digest) {
  co_await check(co_await upload_.finish(digest));
}

Task<void> GrowingUpload::cancel() {
  return upload_.cancel();
}

}  // namespace cobuild::registry
