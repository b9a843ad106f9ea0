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
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "registry/session.hpp"

namespace cobuild::registry {

/// Whether a repository has a blob. A 403 is a no: who may push need not be allowed to look.
Task<Attempt<bool>> try_head_blob(Session& session, Endpoint endpoint, BlobDigest digest);

/// How many bytes an upload has, by the Range of its status ("0-99": 100). "0-0" is what registries
/// say of one byte and of none: 0. nullopt for what says neither.
[[nodiscard]] std::optional<std::uint64_t> uploaded_bytes(const Headers& headers);

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
  Task<std::optional<Failure>> start(std::string mount_from);
  Task<void> ask_how_far();
  Task<Attempt<std::monostate>> send_rest();
  Task<std::optional<Failure>> send_whole(oci::BlobReader& reader);
  Task<std::optional<Failure>> send_chunks(oci::BlobReader& reader);
  Task<std::optional<Failure>> finish();
  Task<ApiResponse> ask(Request request);
  Task<Failure> refused(ApiResponse got);
  void forget();

  [[nodiscard]] Endpoint target() const;
  [[nodiscard]] Url with_digest() const;
  void go_to(const Url& from, std::string_view location);
  bool take_smaller_chunks();

  Session& session_;
  Endpoint endpoint_;
  oci::Descriptor blob_;
  oci::OpenBlob open_;

  std::optional<Url> location_;  ///< Of the upload that was begun.
  bool mounted_ = false;
  bool tried_ = false;
  std::uint64_t offset_ = 0;       ///< Bytes that the registry says it has.
  std::uint64_t counted_ = 0;      ///< ... when attempts were last counted anew.
  std::uint64_t chunk_bytes_ = 0;  ///< 0: all in one request.
  std::uint64_t chunk_bytes_min_;
};

}  // namespace cobuild::registry
