#pragma once

/// One blob on its way into a repository, over all the requests that it takes (distribution-spec
/// 1.1, "Pushing blobs").
///
/// It goes in one request where that works. After a request that broke, the registry is asked how
/// much it has, and gets the rest; one that has forgotten the upload gets a new one. Where a
/// request of that length is refused (413, by a proxy before the registry), the blob goes in
/// chunks.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "registry/session.hpp"
#include "registry/upload_session.hpp"

namespace cobuild::registry {

/// Whether a repository has a blob. A 403 is a no: who may push need not be allowed to look.
Task<Attempt<bool>> try_head_blob(Session& session, Endpoint endpoint, BlobDigest digest);

class Upload {
 public:
  /// `session` outlives this.
  Upload(Session& session, Endpoint endpoint, oci::Descriptor blob, oci::OpenBlob open);

  /// Asks the registry to take the blob from its repository `from`. False, or a failure: it did
  /// not, and an upload that it began instead is used by send().
  Task<Attempt<bool>> mount(std::string from);

  /// One attempt to get the blob there; a further one goes on where the last one broke. \throws
  /// what breaks on the way, for the retry loop to judge.
  Task<Attempt<std::monostate>> send();

 private:
  Task<Attempt<std::monostate>> send_rest();
  Task<std::optional<Failure>> send_chunks(oci::BlobReader& reader);
  Task<std::optional<Failure>> judge(std::optional<ApiResponse> refusal);
  bool take_smaller_chunks();

  Session& session_;
  Endpoint endpoint_;
  oci::Descriptor blob_;
  oci::OpenBlob open_;

  UploadSession upload_;
  bool tried_ = false;
  std::uint64_t counted_ = 0;      ///< Bytes that the registry had when attempts were last counted anew.
  std::uint64_t chunk_bytes_ = 0;  ///< 0: all in one request.
};

/// A blob that is sent while it is still being made.
class GrowingUpload final : public oci::BlobPush {
 public:
  /// Begins. `session` outlives what it returns. \throws Error.
  [[nodiscard]] static Task<std::unique_ptr<oci::BlobPush>> begin(Session& session, Endpoint endpoint);

  explicit GrowingUpload(UploadSession upload) : upload_(std::move(upload)) {}

  [[nodiscard]] std::uint64_t length_min() const noexcept override {
    return upload_.chunk_bytes_min();
  }
  Task<void> append(oci::BlobReader& reader, std::uint64_t length) override;
  Task<void> finish(BlobDigest digest) override;
  Task<void> cancel() override;

 private:
  Task<void> check(std::optional<ApiResponse> refusal);

  UploadSession upload_;
};

}  // namespace cobuild::registry
