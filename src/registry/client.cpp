#include "registry/client.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>

#include <cstdlib>
#include <random>
#include <utility>

#include "registry/authorizer.hpp"
#include "registry/credentials.hpp"
#include "registry/http_transport.hpp"
#include "registry/pull.hpp"
#include "registry/push.hpp"
#include "registry/redirects.hpp"
#include "registry/session.hpp"

namespace cobuild::registry {
namespace {

Task<void> sleep_for_real(std::chrono::milliseconds time) {
  asio::steady_timer timer(co_await asio::this_coro::executor, time);
  co_await timer.async_wait(asio::use_awaitable);
}

std::optional<std::string> process_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (!value) return std::nullopt;
  return std::string(value);
}

Options with_defaults(Options options) {
  Environment& environment = options.environment;
  if (!environment.sleep) environment.sleep = sleep_for_real;
  if (!environment.now) environment.now = [] { return std::chrono::system_clock::now(); };
  if (!environment.variable) environment.variable = process_variable;
  if (!environment.random) {
    environment.random = [generator = std::minstd_rand(std::random_device()())]() mutable {
      return std::uniform_real_distribution<double>(0.0, 1.0)(generator);
    };
  }
  return options;
}

}  // namespace

/// The parts, in the order in which they need each other.
class Client::Impl {
 public:
  Impl(const asio::any_io_executor& executor, asio::thread_pool& pool, Options given)
      : options(with_defaults(std::move(given))),
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
