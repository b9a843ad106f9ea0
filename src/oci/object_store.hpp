#pragma once

/// Places that keep whole objects by name: a bucket, a container, GitHub's cache service, a folder.

#include <cstdint>
#include <optional>
#include <string>

#include "core/async/task.hpp"
#include "oci/content.hpp"

namespace cobuild::oci {

/// An object as it is there.
struct ObjectInfo {
  std::string name;
  std::uint64_t size = 0;  ///< 0 where the place does not say.
  /// A rule that removes what is old may take it soon: touch() what is still of use.
  bool is_old = false;
};

/// Names are of [A-Za-z0-9._:-/]. An object is there whole or not at all. Calls may run side by side;
/// transient failures are tried again inside, within the service's limits.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;

  /// nullopt when there is none. \throws Error: kDenied, kUnavailable.
  virtual Task<std::optional<ObjectInfo>> find(std::string name) = 0;

  /// The newest object whose name begins with `prefix`; nullopt when there is none. \throws as find.
  virtual Task<std::optional<ObjectInfo>> find_newest(std::string prefix) = 0;

  /// Streams the bytes from `offset` on, at most `length` of them, into `sink`, which outlives the
  /// returned task. A break is resumed. Digests are the caller's to check.
  /// \throws Error kNotFound, and as find.
  virtual Task<void> read(std::string name, std::uint64_t offset, std::uint64_t length,
                          BlobSink& sink) = 0;

  /// Stores `size` bytes under `name`. An object of that name that is there already may stay as it
  /// is (GitHub's never change) or be replaced. `open` is called for each attempt.
  /// \throws Error kDenied, kUnavailable, and what `open` throws.
  virtual Task<void> write(std::string name, std::uint64_t size, OpenBlob open) = 0;

  /// Makes an object that find() found old a new one, where the place has such a thing. \throws as
  /// find.
  virtual Task<void> touch(ObjectInfo) { co_return; }

  /// Awaited once after the last write: what was written stays, even where somebody who wrote at the
  /// same moment undid it. \throws as write.
  virtual Task<void> settle() { co_return; }
};

}  // namespace cobuild::oci
