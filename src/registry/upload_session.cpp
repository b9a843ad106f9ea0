#include "registry/upload_session.hpp"

#include <charconv>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

constexpr const char* kBytesType = "application/octet-stream";

bool is_accepted(const ApiResponse& got) {
  int const status = got.response->status();
  return status == 201 || status == 202 || status == 204;
}

}  // namespace

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

/// The server that has the upload: another one gets no credential of the registry's.
Endpoint UploadSession::target() const {
  Endpoint target = endpoint_;
  if (!location_->same_origin(endpoint_.base)) {
    target.base = *location_;
    target.registry = location_->authority();
  }
  return target;
}

/// Follows the Location of an answer to `from`. A registry behind a proxy that ends TLS may not
/// know of it and name itself without: nothing is sent in the clear for that.
void UploadSession::go_to(const Url& from, std::string_view location) {
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

void UploadSession::forget() {
  location_.reset();
  offset_ = 0;
}

Task<ApiResponse> UploadSession::ask(Request request) {
  std::vector<std::string> scopes = {push_scope(endpoint_.repository)};
  co_return co_await session_.send(target(), std::move(request), std::move(scopes));
}

Task<Failure> UploadSession::failure(ApiResponse refusal) {
  return session_.failure(target(), std::move(refusal));
}

Task<Attempt<bool>> UploadSession::begin(std::optional<Mount> mount) {
  Request request;
  request.method = Method::kPost;
  request.url = endpoint_.url("blobs/uploads/");
  std::vector<std::string> scopes = {push_scope(endpoint_.repository)};
  if (mount) {
    request.url.target += "?mount=" + percent_encode(mount->digest.to_string()) +
                          "&from=" + percent_encode(mount->from);
    scopes.push_back(pull_scope(mount->from));
  }
  ApiResponse got = co_await session_.send(endpoint_, std::move(request), std::move(scopes));
  int const status = got.response->status();
  if (status == 201 && mount) co_return true;
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
  chunk_bytes_min_ = headers.number("OCI-Chunk-Min-Length").value_or(0);
  go_to(got.url, *location);
  co_return false;
}

Task<void> UploadSession::ask_how_far(std::uint64_t size) {
  Request request;
  request.url = *location_;
  ApiResponse got = co_await ask(std::move(request));
  const Headers& headers = got.response->headers();
  auto const bytes = uploaded_bytes(headers);
  if (got.response->status() != 204 || !bytes || *bytes == 0 || *bytes > size) {
    forget();
    co_return;
  }
  offset_ = *bytes;
  if (auto const location = headers.find("Location")) go_to(got.url, *location);
}

Task<std::optional<ApiResponse>> UploadSession::append(oci::BlobReader& reader,
                                                       std::uint64_t length) {
  Request request;
  request.method = Method::kPatch;
  request.url = *location_;
  request.headers.add("Content-Type", kBytesType);
  request.headers.add("Content-Range",
                      std::to_string(offset_) + "-" + std::to_string(offset_ + length - 1));
  request.stream = &reader;
  request.stream_length = length;
  request.is_bulk = true;
  ApiResponse got = co_await ask(std::move(request));
  if (!is_accepted(got)) co_return got;
  offset_ += length;
  if (auto const location = got.response->headers().find("Location")) go_to(got.url, *location);
  co_return std::nullopt;
}

Task<std::optional<ApiResponse>> UploadSession::put(BlobDigest digest, Request request) {
  request.method = Method::kPut;
  request.url = *location_;
  std::string& target = request.url.target;
  target += target.find('?') == std::string::npos ? "?" : "&";
  target += "digest=" + percent_encode(digest.to_string());
  ApiResponse got = co_await ask(std::move(request));
  if (!is_accepted(got)) co_return got;
  co_return std::nullopt;
}

Task<std::optional<ApiResponse>> UploadSession::finish(BlobDigest digest) {
  Request request;
  co_return co_await put(digest, std::move(request));
}

Task<std::optional<ApiResponse>> UploadSession::finish(BlobDigest digest, oci::BlobReader& whole,
                                                       std::uint64_t length) {
  Request request;
  request.headers.add("Content-Type", kBytesType);
  request.stream = &whole;
  request.stream_length = length;
  request.is_bulk = true;
  co_return co_await put(digest, std::move(request));
}

Task<void> UploadSession::cancel() {
  Request request;
  request.method = Method::kDelete;
  request.url = *location_;
  static_cast<void>(co_await ask(std::move(request)));
  forget();
}

}  // namespace cobuild::registry
