#pragma once

/// The registry module's front door: pull and push OCI content over the distribution API.
///
/// What it promises. Every byte handed to a BlobSink has been received in order, and the fetch
/// returns only if size and digest match. Requests are tried again here, and only here, as
/// RetryPolicy says; a download that broke goes on where it broke. At most transfers_per_host_max
/// blobs go from or to one host at once; a further one waits, so a sink must not wait for another
/// fetch to begin. An upload that broke goes on where it broke, too, if the registry still has it.
/// Mirrors are asked first, then the registry itself. Credentials go to the host they are for and
/// nowhere else. Cancelling the awaiting coroutine closes its connection.
///
/// What it does not do. It keeps no blobs (core/store does), chooses no platform (oci/resolve
/// does), and writes nothing to the terminal (Options::on_notice does).
///
/// Errors name the host, what was asked of it, the status, and the registry's own words; where a
/// remedy is known ("docker login HOST", --registry-ca, --insecure-registry) they end with it.
/// kDenied: 401 and 403; kNotFound: 404; kCorrupt: wrong digest or size; kUnavailable: all else
/// that may pass.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/thread_pool.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "oci/content.hpp"
#include "oci/spec/reference.hpp"
#include "registry/downloads.hpp"
#include "registry/options.hpp"

namespace cobuild::registry {

class Client final : public oci::ContentSource, public oci::ContentTarget {
 public:
  /// Reads nothing and connects to nothing yet. `executor` is the loop's; `pool` reads files and
  /// must outlive the client, and the client its tasks.
  Client(asio::any_io_executor executor, asio::thread_pool& pool, Options options);
  ~Client() override;
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  using oci::ContentSource::fetch_blob;

  /// The manifest or index that `reference` names now; nullopt if there is none.
  Task<std::optional<oci::ManifestContent>> fetch_manifest(oci::Reference reference) override;

  /// As fetch_manifest, but only its descriptor, by HEAD where the registry answers that fully.
  Task<std::optional<oci::Descriptor>> describe_manifest(oci::Reference reference);

  /// What refers to `subject` in the repository, as the registry lists it: all, or only what has
  /// `artifact_type` unless that is empty.
  Task<std::vector<oci::Descriptor>> list_referrers(oci::Reference repository, BlobDigest subject,
                                                    std::string artifact_type);

  Task<void> fetch_blob(oci::Reference repository, oci::Descriptor blob, oci::BlobSink& sink,
                        oci::ResumePoint resume) override;

  Task<bool> has_blob(oci::Reference repository, BlobDigest digest) override;
  Task<void> push_blob(oci::Reference repository, oci::Descriptor blob, oci::OpenBlob open,
                       std::vector<std::string> mount_from) override;
  Task<std::unique_ptr<oci::BlobPush>> begin_blob(oci::Reference repository) override;
  Task<void> push_manifest(oci::Reference reference, oci::ManifestContent manifest) override;

  /// Files by URL, over the same connections. Lives as long as this.
  [[nodiscard]] Downloads& downloads() noexcept;

  /// Closes idle connections. Called at the end of a build; the destructor does it too.
  void close_idle();

 private:
  class Impl;  // Beast, TLS and JSON stay behind this pointer.
  std::unique_ptr<Impl> impl_;
};

}  // namespace cobuild::registry
