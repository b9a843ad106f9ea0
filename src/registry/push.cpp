#include "registry/push.hpp"

#include <optional>
#include <utility>

#include "core/async/context.hpp"
#include "core/base/error.hpp"
#include "oci/spec/media_type.hpp"
#include "registry/referrers.hpp"
#include "registry/upload.hpp"

namespace cobuild::registry {
namespace {

template <class T>
T value_or_throw(Attempt<T> outcome) {
  if (auto* failure = std::get_if<Failure>(&outcome)) throw failure->error;
  return std::move(std::get<T>(outcome));
}

std::string manifest_path(const oci::Reference& reference, const oci::ManifestContent& manifest) {
  return "manifests/" + (reference.tag ? *reference.tag : manifest.descriptor.digest.to_string());
}

/// "layer sha256:…": what a message is about.
std::string name_of(const oci::Descriptor& content) {
  std::string_view kind = "blob ";
  if (oci::is_layer_type(content.media_type)) kind = "layer ";
  if (oci::is_config_type(content.media_type)) kind = "image config ";
  if (oci::is_manifest_type(content.media_type)) kind = "manifest ";
  if (oci::is_index_type(content.media_type)) kind = "index ";
  return std::string(kind) + content.digest.to_string();
}

/// Whether the name leads to this very manifest already. Anything but a clear yes is a no.
Task<Attempt<bool>> try_head_manifest(Session& session, Endpoint endpoint, std::string path,
                                      const oci::ManifestContent& manifest) {
  Request request;
  request.method = Method::kHead;
  request.url = endpoint.url(path);
  request.headers.add("Accept", manifest.descriptor.media_type + ", */*;q=0.1");
  std::vector<std::string> scopes = {push_scope(endpoint.repository)};
  ApiResponse const got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  co_return got.response->status() == 200 &&
      got.response->headers().text("Docker-Content-Digest") ==
          manifest.descriptor.digest.to_string();
}

/// Whether the registry says that it lists the manifest among what refers to its subject.
Task<Attempt<bool>> try_put_manifest(Session& session, Endpoint endpoint, std::string path,
                                     const oci::ManifestContent& manifest) {
  Request request;
  request.method = Method::kPut;
  request.url = endpoint.url(path);
  request.headers.add("Content-Type", manifest.descriptor.media_type);
  request.body = manifest.bytes;
  std::vector<std::string> scopes = {push_scope(endpoint.repository)};
  ApiResponse got = co_await session.send(endpoint, std::move(request), std::move(scopes));
  int const status = got.response->status();
  if (status == 201 || status == 200 || status == 202) {
    co_return got.response->headers().find("OCI-Subject").has_value();
  }
  co_return co_await session.failure(std::move(endpoint), std::move(got));
}

Task<void> push_blob_to(Session& session, Endpoint endpoint, oci::Descriptor blob,
                        oci::OpenBlob open, std::vector<std::string> mount_from) {
  auto look = [&] { return try_head_blob(session, endpoint, blob.digest); };
  if (value_or_throw(
          co_await try_repeatedly<bool>(session.options(), session.options().retry, look))) {
    co_return;
  }
  Upload upload(session, std::move(endpoint), std::move(blob), std::move(open));
  for (const std::string& from : mount_from) {
    // A mount that is refused costs nothing: the registry begins an upload instead.
    auto const mounted = co_await guarded<bool>(upload.mount(from));
    if (const bool* done = std::get_if<bool>(&mounted); done && *done) co_return;
  }
  auto send = [&] { return upload.send(); };
  value_or_throw(
      co_await try_repeatedly<std::monostate>(session.options(), session.options().retry, send));
}

Task<void> push_manifest_to(Session& session, Endpoint endpoint, oci::Reference reference,
                            const oci::ManifestContent& manifest) {
  std::string const path = manifest_path(reference, manifest);
  auto referrer = referrer_of(manifest);
  if (!referrer) {  // One that is there may still be missing among what refers to its subject.
    auto const there = co_await guarded<bool>(try_head_manifest(session, endpoint, path, manifest));
    if (const bool* same = std::get_if<bool>(&there); same && *same) co_return;
  }
  auto attempt = [&] { return try_put_manifest(session, endpoint, path, manifest); };
  bool const is_listed = value_or_throw(
      co_await try_repeatedly<bool>(session.options(), session.options().retry, attempt));
  if (referrer && !is_listed) {
    co_await add_to_fallback(session, std::move(endpoint), *std::move(referrer));
  }
}

}  // namespace

Task<bool> has_blob(Session& session, oci::Reference repository, BlobDigest digest) {
  Endpoint const endpoint = push_endpoint(repository, session.options());
  auto attempt = [&] { return try_head_blob(session, endpoint, digest); };
  co_return value_or_throw(
      co_await try_repeatedly<bool>(session.options(), session.options().retry, attempt));
}

Task<void> push_blob(Session& session, oci::Reference repository, oci::Descriptor blob,
                     oci::OpenBlob open, std::vector<std::string> mount_from) {
  Endpoint endpoint = push_endpoint(repository, session.options());
  std::string const name = name_of(blob);
  auto describe = [&] { return name; };
  co_await in_context(push_blob_to(session, std::move(endpoint), std::move(blob), std::move(open),
                                   std::move(mount_from)),
                      describe);
}

Task<std::unique_ptr<oci::BlobPush>> begin_blob(Session& session, oci::Reference repository) {
  return GrowingUpload::begin(session, push_endpoint(repository, session.options()));
}

Task<void> push_manifest(Session& session, oci::Reference reference,
                         oci::ManifestContent manifest) {
  Endpoint endpoint = push_endpoint(reference, session.options());
  std::string const name = name_of(manifest.descriptor);
  auto describe = [&] { return name; };
  co_await in_context(
      push_manifest_to(session, std::move(endpoint), std::move(reference), manifest), describe);
}

}  // namespace cobuild::registry
