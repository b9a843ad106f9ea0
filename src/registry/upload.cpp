#include "registry/upload.hpp"

#include <algorithm>
#include <charconv>
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

std::optional<std::uint64_t> uploaded_bytes(const Headers& headers) {
  std::string const text = headers.text("Range");
  std::string_view range = text;
  if (range.starts_with("bytes=")) range.remove_prefix(6);
  if (!range.starts_with("0-")) return std::nullopt;
  range.remove_prefix(2);
  std::uint64_t last = 0;
  auto const [end, error] = std::from_chars(range.data(), range.data() + range.size(), last);
  if (error != std::errc() || end != range.data() + range.size()) return std::nullopt;
  if (last == UINT64_MAX) return std::nullopt;
  return last == 0 ? 0 : last + 1;
}

Upload::Upload(Session& session, Endpoint endpoint, oci::Descriptor blob, oci::OpenBlob open)
    : session_(session),
      endpoint_(std::move(endpoint)),
      blob_(std::move(blob)),
      open_(std::move(open)),
      chunk_bytes_min_(kChunkBytesMin) {}

/// The server that has the upload: another one gets no credential of the registry's.
Endpoint Upload::target() const {
  Endpoint target = endpoint_;
  if (!location_->same_origin(endpoint_.base)) {
    target.base = *location_;
    target.registry = location_->authority();
  }
  return target;
}

Url Upload::with_digest() const {
  Url url = *location_;
  url.target += (url.target.find('?') == std::string::npos ? "?" : "&");
  url.target += "digest=" + percent_encode(blob_.digest.to_string());
  return url;
}

/// Follows the Location of an answer to `from`. A registry behind a proxy that ends TLS may not
/// know of it and name itself without: nothing is sent in the clear for that.
void Upload::go_to(const Url& from, std::string_view location) {
  Url next = from.resolve(location);
  if (from.is_tls() && !next.is_tls() && !endpoint_.insecure) {
    Url const secure = Url::of("https", next.authority(), next.target);
    if (!secure.same_origin(from)) {
      throw Error(ErrorKind::kDenied, "upload to " + from.to_display() + " is sent on to " +
                                          next.to_display() +
                                          ": refused, since it leaves TLS; --insecure-registry " +
                                          endpoint_.base.authority() + " allows it");
    }
    next = secure;
  }
  location_ = std::move(next);
}

void Upload::forget() {
  location_.reset();
  offset_ = 0;
}

/// After a 413. False: they are as small as they get.
bool Upload::take_smaller_chunks() {
  std::uint64_t const now =
      chunk_bytes_ == 0 ? std::min(4 * kChunkBytesMax, blob_.size) : chunk_bytes_;
  if (now / 4 < chunk_bytes_min_) return false;
  chunk_bytes_ = now / 4;
  return true;
}

Task<ApiResponse> Upload::ask(Request request) {
  std::vector<std::string> scopes = {push_scope(endpoint_.repository)};
  co_return co_await session_.send(target(), std::move(request), std::move(scopes));
}

/// A refusal to what was sent to the upload, and what that means for the next attempt.
Task<Failure> Upload::refused(ApiResponse got) {
  int const status = got.response->status();
  Failure failure = co_await session_.failure(target(), std::move(got));
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
    if (status == 404) forget();
  } else if (is_about_content(failure.error)) {
    failure.may_pass = false;
    failure.damaged = true;
    forget();
  }
  co_return failure;
}

/// Begins an upload; `mount_from` that is not empty: unless the registry takes the blob from there.
Task<std::optional<Failure>> Upload::start(std::string mount_from) {
  Request request;
  request.method = Method::kPost;
  request.url = endpoint_.url("blobs/uploads/");
  std::vector<std::string> scopes = {push_scope(endpoint_.repository)};
  if (!mount_from.empty()) {
    request.url.target += "?mount=" + percent_encode(blob_.digest.to_string()) +
                          "&from=" + percent_encode(mount_from);
    scopes.push_back(pull_scope(mount_from));
  }
  ApiResponse got = co_await session_.send(endpoint_, std::move(request), std::move(scopes));
  int const status = got.response->status();
  mounted_ = status == 201 && !mount_from.empty();
  if (mounted_) co_return std::nullopt;
  const Headers& headers = got.response->headers();
  auto const location = headers.find("Location");
  if (status != 202 || !location) {
    Failure failure = co_await session_.failure(endpoint_, std::move(got));
    if (status == 404) {
      failure.error =
          Error(failure.error.kind(), std::string(failure.error.what()) + ": does the repository " +
                                          endpoint_.repository + " have to be created first?");
    }
    co_return failure;
  }
  offset_ = 0;
  chunk_bytes_min_ = std::max(kChunkBytesMin, headers.number("OCI-Chunk-Min-Length").value_or(0));
  go_to(got.url, *location);
  co_return std::nullopt;
}

Task<Attempt<bool>> Upload::mount(std::string from) {
  if (auto failure = co_await start(std::move(from))) co_return std::move(*failure);
  co_return mounted_;
}

/// Learns from the registry where to go on. Any answer but a clear one: the upload is begun anew.
Task<void> Upload::ask_how_far() {
  Request request;
  request.url = *location_;
  ApiResponse got = co_await ask(std::move(request));
  const Headers& headers = got.response->headers();
  auto const bytes = uploaded_bytes(headers);
  if (got.response->status() != 204 || !bytes || *bytes == 0 || *bytes > blob_.size) {
    forget();
    co_return;
  }
  offset_ = *bytes;
  if (auto const location = headers.find("Location")) go_to(got.url, *location);
}

Task<std::optional<Failure>> Upload::send_whole(oci::BlobReader& reader) {
  Request request;
  request.method = Method::kPut;
  request.url = with_digest();
  request.headers.add("Content-Type", "application/octet-stream");
  request.stream = &reader;
  request.stream_length = blob_.size;
  request.is_bulk = true;
  ApiResponse got = co_await ask(std::move(request));
  int const status = got.response->status();
  if (status == 201 || status == 202 || status == 204) co_return std::nullopt;
  co_return co_await refused(std::move(got));
}

/// What follows `offset_`, where `reader` is.
Task<std::optional<Failure>> Upload::send_chunks(oci::BlobReader& reader) {
  while (offset_ < blob_.size) {
    std::uint64_t const left = blob_.size - offset_;
    std::uint64_t const length = chunk_bytes_ == 0 ? left : std::min(left, chunk_bytes_);
    Request request;
    request.method = Method::kPatch;
    request.url = *location_;
    request.headers.add("Content-Type", "application/octet-stream");
    request.headers.add("Content-Range",
                        std::to_string(offset_) + "-" + std::to_string(offset_ + length - 1));
    request.stream = &reader;
    request.stream_length = length;
    request.is_bulk = true;
    ApiResponse got = co_await ask(std::move(request));
    int const status = got.response->status();
    if (status != 201 && status != 202 && status != 204) co_return co_await refused(std::move(got));
    offset_ += length;
    if (auto const location = got.response->headers().find("Location")) go_to(got.url, *location);
  }
  co_return std::nullopt;
}

Task<std::optional<Failure>> Upload::finish() {
  Request request;
  request.method = Method::kPut;
  request.url = with_digest();
  ApiResponse got = co_await ask(std::move(request));
  int const status = got.response->status();
  if (status == 201 || status == 202 || status == 204) co_return std::nullopt;
  co_return co_await refused(std::move(got));
}

Task<Attempt<std::monostate>> Upload::send_rest() {
  if (std::exchange(tried_, true)) {
    // The registry may have had all of it, and only its answer was lost.
    auto there = co_await try_head_blob(session_, endpoint_, blob_.digest);
    if (auto* failure = std::get_if<Failure>(&there)) co_return std::move(*failure);
    if (std::get<bool>(there)) co_return std::monostate();
    if (location_) co_await ask_how_far();
  }
  auto opened = co_await try_open(open_);
  if (auto* failure = std::get_if<Failure>(&opened)) co_return std::move(*failure);
  auto const& reader = std::get<std::unique_ptr<oci::BlobReader>>(opened);
  if (!location_) {
    std::string nowhere;
    if (auto failure = co_await start(std::move(nowhere))) co_return std::move(*failure);
  }
  std::optional<Failure> failure;
  if (offset_ == 0 && chunk_bytes_ == 0) {
    failure = co_await send_whole(*reader);
  } else {
    co_await skip(*reader, offset_);
    failure = co_await send_chunks(*reader);
    if (!failure) failure = co_await finish();
  }
  if (failure) co_return std::move(*failure);
  co_return std::monostate();
}

Task<Attempt<std::monostate>> Upload::send() {
  auto outcome = co_await guarded<std::monostate>(send_rest());
  if (auto* failure = std::get_if<Failure>(&outcome);
      failure && offset_ >= counted_ + kProgressBytes) {
    counted_ = offset_;
    failure->progressed = true;
  }
  co_return outcome;
}

}  // namespace cobuild::registry
