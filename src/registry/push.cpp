#include "registry/push.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <utility>

#include "core/base/error.hpp"

namespace cobuild::registry {
namespace {

/// Where to send a blob to; nullopt: the registry has it now (it was mounted).
using Upload = std::optional<Url>;

template <class T>
T value_or_throw(Attempt<T> outcome) {
  if (auto* failure = std::get_if<Failure>(&outcome)) throw failure->error;
  return std::move(std::get<T>(outcome));
}

Task<Attempt<bool>> try_head(Session& session, Endpoint endpoint, std::string repository,
                             BlobDigest digest) {
  Request request;
  request.method = Method::kHead;
  request.url = endpoint.url(repository + "/blobs/" + digest.to_string());
  std::vector<std::string> scopes = {push_scope(repository)};
  ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  if (got.response->status() == 200) co_return true;
  if (got.response->status() == 404) co_return false;
  co_return co_await session.failure(std::move(endpoint), std::move(got));
}

/// Starts an upload, or has the blob mounted from `mount_from` when that is not empty.
Task<Attempt<Upload>> try_start(Session& session, Endpoint endpoint, std::string repository,
                                BlobDigest digest, std::string mount_from) {
  Request request;
  request.method = Method::kPost;
  request.url = endpoint.url(repository + "/blobs/uploads/");
  std::vector<std::string> scopes = {push_scope(repository)};
  if (!mount_from.empty()) {
    request.url.target +=
        "?mount=" + percent_encode(digest.to_string()) + "&from=" + percent_encode(mount_from);
    scopes.push_back(pull_scope(mount_from));
  }
  ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  int const status = got.response->status();
  if (status == 201 && !mount_from.empty()) co_return Upload();
  auto const location = got.response->headers().find("Location");
  if (status == 202 && location) co_return Upload(got.url.resolve(*location));
  co_return co_await session.failure(std::move(endpoint), std::move(got));
}

/// What keeps us from reading our own blob is no reason to ask the registry again.
Task<Attempt<std::unique_ptr<oci::BlobReader>>> try_open(const oci::OpenBlob& open) {
  try {
    co_return co_await open();
  } catch (const Error& error) {
    co_return Failure{.error = error, .retry_after = {}, .fatal = std::current_exception()};
  }
}

/// Sends the whole blob in one request: to `begun`, or to an upload of its own.
Task<Attempt<std::monostate>> try_send(Session& session, Endpoint endpoint, std::string repository,
                                       oci::Descriptor blob, const oci::OpenBlob& open,
                                       Upload begun) {
  auto reader = co_await try_open(open);
  if (auto* failure = std::get_if<Failure>(&reader)) co_return std::move(*failure);
  if (!begun) {
    auto started = co_await try_start(session, endpoint, repository, blob.digest, "");
    if (auto* failure = std::get_if<Failure>(&started)) co_return std::move(*failure);
    begun = std::move(std::get<Upload>(started));
  }
  Request request;
  request.method = Method::kPut;
  request.url = *begun;
  request.url.target += (request.url.target.find('?') == std::string::npos ? "?" : "&");
  request.url.target += "digest=" + percent_encode(blob.digest.to_string());
  request.headers.add("Content-Type", "application/octet-stream");
  request.stream = std::get<std::unique_ptr<oci::BlobReader>>(reader).get();
  request.stream_length = blob.size;
  // The upload may be on another server, which gets no credential of this one.
  bool const here = request.url.same_origin(endpoint.base);
  Endpoint target = endpoint;
  if (!here) {
    target.base = request.url;
    target.registry = request.url.authority();
  }
  std::vector<std::string> scopes = {push_scope(repository)};
  ApiResponse got = co_await session.send(target, std::move(request), std::move(scopes));
  int const status = got.response->status();
  if (status == 201 || status == 202 || status == 204) co_return std::monostate();
  Failure failure = co_await session.failure(std::move(target), std::move(got));
  // The registry has forgotten the upload: it is begun anew.
  failure.may_pass = failure.may_pass || status == 404;
  co_return failure;
}

/// After a try that broke: the registry may have had all of it, and only its answer was lost.
Task<Attempt<std::monostate>> try_send_again(Session& session, Endpoint endpoint,
                                             std::string repository, oci::Descriptor blob,
                                             const oci::OpenBlob& open) {
  auto there = co_await try_head(session, endpoint, repository, blob.digest);
  if (auto* failure = std::get_if<Failure>(&there)) co_return std::move(*failure);
  if (std::get<bool>(there)) co_return std::monostate();
  co_return co_await try_send(session, std::move(endpoint), std::move(repository), std::move(blob),
                              open, {});
}

Task<Attempt<std::monostate>> try_put_manifest(Session& session, Endpoint endpoint,
                                               oci::Reference reference,
                                               const oci::ManifestContent& manifest) {
  std::string const which = reference.tag ? *reference.tag : manifest.descriptor.digest.to_string();
  Request request;
  request.method = Method::kPut;
  request.url = endpoint.url(reference.repository + "/manifests/" + which);
  request.headers.add("Content-Type", manifest.descriptor.media_type);
  request.body = manifest.bytes;
  std::vector<std::string> scopes = {push_scope(reference.repository)};
  ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  int const status = got.response->status();
  if (status == 201 || status == 200 || status == 202) co_return std::monostate();
  co_return co_await session.failure(std::move(endpoint), std::move(got));
}

}  // namespace

Task<bool> has_blob(Session& session, oci::Reference repository, BlobDigest digest) {
  Endpoint const endpoint = push_endpoint(repository.registry, session.options());
  auto attempt = [&] { return try_head(session, endpoint, repository.repository, digest); };
  auto outcome = co_await try_repeatedly<bool>(session.options(), session.options().retry, attempt);
  co_return value_or_throw(std::move(outcome));
}

Task<void> push_blob(Session& session, oci::Reference repository, oci::Descriptor blob,
                     oci::OpenBlob open, std::vector<std::string> mount_from) {
  if (co_await has_blob(session, repository, blob.digest)) co_return;
  Endpoint const endpoint = push_endpoint(repository.registry, session.options());
  Upload begun;
  for (const std::string& from : mount_from) {
    // A mount that is refused costs nothing: the registry begins an upload instead.
    auto mounted = co_await guarded<Upload>(
        try_start(session, endpoint, repository.repository, blob.digest, from));
    auto* upload = std::get_if<Upload>(&mounted);
    if (!upload) continue;
    if (!*upload) co_return;
    begun = std::move(*upload);
  }
  bool again = false;
  auto attempt = [&] {
    if (std::exchange(again, true)) {
      return try_send_again(session, endpoint, repository.repository, blob, open);
    }
    return try_send(session, endpoint, repository.repository, blob, open, std::move(begun));
  };
  auto outcome =
      co_await try_repeatedly<std::monostate>(session.options(), session.options().retry, attempt);
  value_or_throw(std::move(outcome));
}

Task<void> push_manifest(Session& session, oci::Reference reference,
                         oci::ManifestContent manifest) {
  Endpoint const endpoint = push_endpoint(reference.registry, session.options());
  auto attempt = [&] { return try_put_manifest(session, endpoint, reference, manifest); };
  auto outcome =
      co_await try_repeatedly<std::monostate>(session.options(), session.options().retry, attempt);
  value_or_throw(std::move(outcome));
}

}  // namespace cobuild::registry
