#include "registry/client.hpp"

#include <utility>

#include "registry/authorizer.hpp"
#include "registry/credentials.hpp"
#include "registry/environment.hpp"
#include "registry/http_transport.hpp"
#include "registry/pull.hpp"
#include "registry/push.hpp"
#include "registry/redirects.hpp"
#include "registry/referrers.hpp"
#include "registry/session.hpp"

namespace cobuild::registry {

/// The parts, in the order in which they need each other.
class Client::Impl {
 public:
  Impl(const asio::any_io_executor& executor, asio::thread_pool& pool, Options given)
      : options(with_real_environment(std::move(given))),
        transport(make_http_transport(executor, pool, options)),
        http(*transport),
        credentials(make_docker_credentials(executor, pool, options)),
        authorizer(executor, http, *credentials, options),
        session(http, authorizer, options),
        downloads(*transport, options) {}

  Options options;
  std::unique_ptr<Transport> transport;
  RedirectingTransport http;
  std::unique_ptr<CredentialSource> credentials;
  Authorizer authorizer;
  Session session;
  Downloads downloads;
};

Client::Client(asio::any_io_executor executor, asio::thread_pool& pool, Options options)
    : impl_(std::make_unique<Impl>(executor, pool, std::move(options))) {}

Client::~Client() = default;

Task<std::optional<oci::ManifestContent>> Client::fetch_manifest(oci::Reference reference) {
  return pull_manifest(impl_->session, std::move(reference));
}

Task<std::optional<oci::Descriptor>> Client::describe_manifest(oci::Reference reference) {
  return registry::describe_manifest(impl_->session, std::move(reference));
}

Task<std::vector<oci::Descriptor>> Client::list_referrers(oci::Reference repository,
                                                          BlobDigest subject,
                                                          std::string artifact_type) {
  return registry::list_referrers(impl_->session, std::move(repository), subject,
                                  std::move(artifact_type));
}

Task<void> Client::fetch_blob(oci::Reference repository, oci::Descriptor blob, oci::BlobSink& sink,
                              oci::ResumePoint resume) {
  return pull_blob(impl_->session, std::move(repository), std::move(blob), sink, std::move(resume));
}

Task<bool> Client::has_blob(oci::Reference repository, BlobDigest digest) {
  return registry::has_blob(impl_->session, std::move(repository), digest);
}

Task<void> Client::push_blob(oci::Reference repository, oci::Descriptor blob, oci::OpenBlob open,
                             std::vector<std::string> mount_from) {
  return registry::push_blob(impl_->session, std::move(repository), std::move(blob),
                             std::move(open), std::move(mount_from));
}

Task<std::unique_ptr<oci::BlobPush>> Client::begin_blob(oci::Reference repository) {
  return registry::begin_blob(impl_->session, std::move(repository));
}

Task<void> Client::push_manifest(oci::Reference reference, oci::ManifestContent manifest) {
  return registry::push_manifest(impl_->session, std::move(reference), std::move(manifest));
}

Downloads& Client::downloads() noexcept {
  return impl_->downloads;
}

void Client::close_idle() {
  impl_->transport->close_idle();
}

}  // namespace cobuild::registry
