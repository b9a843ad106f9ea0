#include "oci/object_source.hpp"

#include <utility>

#include "core/base/error.hpp"

namespace cobuild::oci {
namespace {

/// Hashes and counts what passes.
class HashingSink final : public BlobSink {
 public:
  HashingSink(BlobSink& sink, ResumePoint resume)
      : sink_(sink), hash_(std::move(resume.hash)), bytes_(resume.offset) {}

  Task<void> write(std::span<const std::byte> chunk) override {
    hash_.write(chunk);
    bytes_ += chunk.size();
    co_await sink_.write(chunk);
  }

  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] BlobDigest finish() { return BlobDigest(hash_.finish()); }

 private:
  BlobSink& sink_;
  DigestWriter hash_;
  std::uint64_t bytes_;
};

/// \throws Error kCorrupt when what was read at `place` is not the blob.
void check(HashingSink& read, const Descriptor& blob, const std::string& place) {
  if (read.bytes() != blob.size) {
    throw Error(ErrorKind::kCorrupt, place + " has " + std::to_string(read.bytes()) +
                                         " bytes, and the cache says " + std::to_string(blob.size));
  }
  BlobDigest const got = read.finish();
  if (got != blob.digest) {
    throw Error(ErrorKind::kCorrupt, place + " has the digest " + got.to_string());
  }
}

}  // namespace

ObjectSource::ObjectSource(std::shared_ptr<ObjectStore> store, std::string blobs_prefix)
    : store_(std::move(store)), blobs_prefix_(std::move(blobs_prefix)) {}

Task<std::optional<ManifestContent>> ObjectSource::fetch_manifest(Reference) {
  co_return std::nullopt;
}

Task<void> ObjectSource::fetch_blob(Reference, Descriptor blob, BlobSink& sink,
                                    ResumePoint resume) {
  std::uint64_t const offset = resume.offset;
  std::string const name = "blob " + blob.digest.to_string();
  if (offset > blob.size) {
    throw Error(ErrorKind::kCorrupt, name + ": more bytes are here than it has");
  }
  auto const known = packed_.find(blob.digest);  // stays: nothing is taken away
  bool const is_packed = known != packed_.end();
  BlobDigest const object = is_packed ? known->second.pack.digest : blob.digest;
  std::uint64_t const begin = is_packed ? known->second.pack.offset : 0;
  std::string const place = is_packed ? "its part of the pack " + object.to_string() : "its object";
  HashingSink hashing(sink, std::move(resume));
  try {
    co_await store_->read(blobs_prefix_ + object.to_string(), begin + offset, blob.size - offset,
                          hashing);
    check(hashing, blob, name + ": " + place);
  } catch (const Error& error) {
    bool const is_wrong = error.kind() == ErrorKind::kCorrupt || error.kind() == ErrorKind::kNotFound;
    if (is_packed && is_wrong) known->second.is_suspect = true;
    throw;
  }
  if (is_packed) known->second.is_suspect = false;
}

}  // namespace cobuild::oci
