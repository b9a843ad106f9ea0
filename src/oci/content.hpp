#pragma once

/// How oci sees content: as something that can be asked for by name or digest, wherever it is.
///
/// The registry client implements both sides, an OCI layout directory the first.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/async/task.hpp"
#include "core/base/digest.hpp"
#include "oci/spec/descriptor.hpp"
#include "oci/spec/reference.hpp"

namespace cobuild::oci {

/// A chunk handed to a sink, or asked of a reader, is at most this long.
inline constexpr std::size_t kChunkBytesMax = 1024 * 1024;

/// Where the bytes of a blob go, in order. write() suspends until there is room: this is the
/// back-pressure. The chunk is valid until write() returns.
class BlobSink {
 public:
  virtual ~BlobSink() = default;
  virtual Task<void> write(std::span<const std::byte> chunk) = 0;

  /// Forgets all that was written, and what a ResumePoint told of: it was not the blob's, whose
  /// first byte comes next. False: this cannot be done.
  virtual Task<bool> restart() { co_return false; }
};

/// Where an earlier, broken fetch ended: so many bytes are with the caller already, and `hash` has
/// seen exactly those.
struct ResumePoint {
  std::uint64_t offset = 0;
  DigestWriter hash;
};

/// A manifest or an index, as it was stored. `descriptor` has its real media type, digest and size.
struct ManifestContent {
  Descriptor descriptor;
  std::string bytes;
};

/// Something that has images. Every byte that it hands out has been checked, or the call throws.
class ContentSource {
 public:
  virtual ~ContentSource() = default;

  /// The manifest or index that `reference` names now (by its digest when it has one); nullopt if
  /// there is none. \throws Error: kDenied, kUnavailable, kCorrupt.
  virtual Task<std::optional<ManifestContent>> fetch_manifest(Reference reference) = 0;

  /// Streams a blob of `repository` into `sink`, which must outlive the returned task; bytes before
  /// `resume.offset` are not sent again. Returns only when size and digest of the whole have been
  /// found right, which can be after the last byte was handed over: commit what the sink got only
  /// then. What was damaged on its way may be fetched again, if the sink can restart(). \throws
  /// Error kCorrupt if they are not right, kNotFound, kDenied, kUnavailable; what the sink throws,
  /// but for kCorrupt: that may be the damage.
  virtual Task<void> fetch_blob(Reference repository, Descriptor blob, BlobSink& sink,
                                ResumePoint resume) = 0;

  /// From the start.
  Task<void> fetch_blob(Reference repository, Descriptor blob, BlobSink& sink) {
    return fetch_blob(std::move(repository), std::move(blob), sink, ResumePoint());
  }
};

/// The bytes of a blob, in order, for those who send it.
class BlobReader {
 public:
  virtual ~BlobReader() = default;
  /// Fills the front of `buffer`; 0 at the end. The buffer must stay valid until this returns.
  virtual Task<std::size_t> read(std::span<std::byte> buffer) = 0;
};

/// Starts reading a blob from its first byte, after fetching it when it is not here; called again
/// when sending is tried again. What it throws is final.
using OpenBlob = std::function<Task<std::unique_ptr<BlobReader>>()>;

/// A blob that is sent while it is still being made, and whose digest is not known until the end.
/// Each call is one request, which is not tried again. Dropped before finish(), it is not there.
class BlobPush {
 public:
  virtual ~BlobPush() = default;

  /// All but the last call of append() must send at least so many bytes. 0: any number will do.
  [[nodiscard]] virtual std::uint64_t length_min() const noexcept = 0;

  /// Sends the next `length` bytes, at least one, of `reader`, which outlives the returned task.
  /// \throws Error; after that nothing more can be sent.
  virtual Task<void> append(BlobReader& reader, std::uint64_t length) = 0;

  /// All has been sent, and makes the blob of that digest. \throws Error.
  virtual Task<void> finish(BlobDigest digest) = 0;

  /// The target may forget what it got. \throws Error.
  virtual Task<void> cancel() = 0;
};

/// Something that images can be sent to.
class ContentTarget {
 public:
  virtual ~ContentTarget() = default;

  /// Whether the blob is there already. \throws Error.
  virtual Task<bool> has_blob(Reference repository, BlobDigest digest) = 0;

  /// Sends a blob unless it is there; `mount_from` names repositories of the same registry that may
  /// have it: it is taken from one of them if the registry does that. Only when neither helps is
  /// `open` called. \throws Error.
  virtual Task<void> push_blob(Reference repository, Descriptor blob, OpenBlob open,
                               std::vector<std::string> mount_from) = 0;

  /// Begins to send a blob that is not known whole. Whether it is there, nobody can tell: of use
  /// where what is made is probably new. \throws Error.
  virtual Task<std::unique_ptr<BlobPush>> begin_blob(Reference repository) = 0;

  /// Stores a manifest or index under the tag or digest of `reference`. What it refers to must have
  /// been pushed. \throws Error.
  virtual Task<void> push_manifest(Reference reference, ManifestContent manifest) = 0;
};

}  // namespace cobuild::oci
