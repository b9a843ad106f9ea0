#pragma once

/// A session in which a registry takes the bytes of one blob (distribution-spec 1.1, "Pushing
/// blobs"): the requests, each an attempt, and where they go. Upload makes a blob's way of them.

#include <cstdint>
#include <optional>
#include <string>

#include "core/async/task.hpp"
#include "oci/content.hpp"
#include "registry/session.hpp"

namespace cobuild::registry {

/// How many bytes an upload has, by the Range of its status ("0-99": 100). "0-0" is what registries
/// say of one byte and of none: 0. nullopt for what says neither.
[[nodiscard]] std::optional<std::uint64_t> uploaded_bytes(const Headers& headers);

class UploadSession {
 public:
  /// A blob of another repository that would do, instead of an upload.
  struct Mount {
    BlobDigest digest;
    std::string from;
  };

  /// `session` outlives this.
  UploadSession(Session& session, Endpoint endpoint)
      : session_(session), endpoint_(std::move(endpoint)) {}

  /// Begins anew; with `mount`, unless the registry takes the blob from there: true. \throws what
  /// breaks on the way, as all of these.
  Task<Attempt<bool>> begin(std::optional<Mount> mount);

  [[nodiscard]] bool is_open() const noexcept { return location_.has_value(); }
  /// Bytes that the registry says it has.
  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  /// Chunks but the last must not be shorter.
  [[nodiscard]] std::uint64_t chunk_bytes_min() const noexcept { return chunk_bytes_min_; }

  /// Learns from the registry where to go on, in a blob of `size` bytes. Any answer but a clear
  /// one: the session is given up.
  Task<void> ask_how_far(std::uint64_t size);

  /// Sends the `length` bytes after offset(), where `reader` is. The answer, if it is a refusal.
  Task<std::optional<ApiResponse>> append(oci::BlobReader& reader, std::uint64_t length);

  /// All has been sent, and is the blob of that digest. The answer, if it is a refusal.
  Task<std::optional<ApiResponse>> finish(BlobDigest digest);
  /// Sends all, `length` bytes, and finishes, in one request.
  Task<std::optional<ApiResponse>> finish(BlobDigest digest, oci::BlobReader& whole,
                                          std::uint64_t length);

  /// Forgets the session; the registry is not told.
  void forget();
  /// Tells the registry to forget what it got.
  Task<void> cancel();

  /// A refusal of the server that has the session, as a failure.
  Task<Failure> failure(ApiResponse refusal);

 private:
  Task<std::optional<ApiResponse>> put(BlobDigest digest, Request request);
  Task<ApiResponse> ask(Request request);
  [[nodiscard]] Endpoint target() const;
  void go_to(const Url& from, std::string_view location);

  Session& session_;
  Endpoint endpoint_;
  std::optional<Url> location_;
  std::uint64_t offset_ = 0;
  std::uint64_t chunk_bytes_min_ = 0;
};

}  // namespace cobuild::registry
