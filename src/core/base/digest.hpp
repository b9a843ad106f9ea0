#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace cobuild {

/// A sha256 digest of some bytes. A value: cheap to copy, never empty, never half-parsed.
class Digest {
 public:
  static constexpr std::size_t kByteCount = 32;
  using Bytes = std::array<std::uint8_t, kByteCount>;

  explicit Digest(const Bytes& bytes) noexcept : bytes_(bytes) {}

  /// Hashes `data` in one go. For streams, see DigestWriter.
  [[nodiscard]] static Digest of(std::span<const std::byte> data);
  [[nodiscard]] static Digest of(std::string_view data);

  /// Parses "sha256:<64 lower-case hex digits>"; nullopt for anything else.
  [[nodiscard]] static std::optional<Digest> try_parse(std::string_view text) noexcept;

  /// As try_parse, for callers to whom a bad digest is an error. \throws Error kInvalidInput.
  [[nodiscard]] static Digest parse(std::string_view text);

  [[nodiscard]] std::string hex() const;        ///< "9f86d0…", as in blobs/sha256/<hex>.
  [[nodiscard]] std::string to_string() const;  ///< "sha256:9f86d0…", as in manifests.
  [[nodiscard]] const Bytes& bytes() const noexcept { return bytes_; }

  friend auto operator<=>(const Digest&, const Digest&) = default;

 private:
  Bytes bytes_;
};

/// Hashes bytes as they come. Move-only; finish() may be called once.
class DigestWriter {
 public:
  DigestWriter();
  DigestWriter(DigestWriter&&) noexcept;
  DigestWriter& operator=(DigestWriter&&) noexcept;
  ~DigestWriter();

  void write(std::span<const std::byte> data);
  void write(std::string_view data);
  [[nodiscard]] Digest finish();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// A digest that says what it is a digest of.
///
/// A layer has two digests that must never be swapped: the blob's (compressed bytes, in manifests)
/// and the diff ID (uncompressed tar, in configs). With one type for both, swapping them compiles,
/// and yields an image that other tools reject.
template <class Role>
class DigestOf {
 public:
  explicit DigestOf(const Digest& digest) noexcept : digest_(digest) {}
  [[nodiscard]] const Digest& digest() const noexcept { return digest_; }
  [[nodiscard]] std::string to_string() const { return digest_.to_string(); }
  friend auto operator<=>(const DigestOf&, const DigestOf&) = default;

 private:
  Digest digest_;
};

using BlobDigest = DigestOf<struct BlobDigestRole>;  ///< Of stored bytes: what a registry serves.
using DiffId = DigestOf<struct DiffIdRole>;          ///< Of a layer's uncompressed tar.
using ChainId = DigestOf<struct ChainIdRole>;        ///< Of a stack of diff IDs (OCI image-spec).
using VertexDigest = DigestOf<struct VertexDigestRole>;  ///< Of an op and all its inputs.
using CacheKey = DigestOf<struct CacheKeyRole>;          ///< Of what decides an op's result.

}  // namespace cobuild

template <>
struct std::hash<cobuild::Digest> {
  std::size_t operator()(const cobuild::Digest& digest) const noexcept;
};

template <class Role>
struct std::hash<cobuild::DigestOf<Role>> {
  std::size_t operator()(const cobuild::DigestOf<Role>& digest) const noexcept {
    return std::hash<cobuild::Digest>{}(digest.digest());
  }
};
