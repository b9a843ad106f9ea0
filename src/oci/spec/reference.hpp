#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/digest.hpp"

namespace cobuild::oci {

/// A name for an image: where it is, and which one. "alpine" is docker.io/library/alpine:latest.
struct Reference {
  /// A repository is at most this long.
  static constexpr std::size_t kRepositoryLengthMax = 255;

  std::string registry;    ///< "docker.io", "localhost:5000", "[::1]:5000".
  std::string repository;  ///< "library/alpine".
  std::optional<std::string> tag;
  std::optional<BlobDigest> digest;

  /// Reads what a user wrote, as Docker does: shorthand is completed, and a name with neither tag
  /// nor digest gets the tag "latest".
  /// \throws Error kInvalidInput in Docker's words ("invalid reference format: repository name
  /// (library/Alpine) must be lowercase"), which do not always quote `text`: callers add what it
  /// was for. kUnsupported for digests other than sha256.
  [[nodiscard]] static Reference parse(std::string_view text);

  /// As parse; nullopt where that throws.
  [[nodiscard]] static std::optional<Reference> try_parse(std::string_view text);

  /// "docker.io/library/alpine".
  [[nodiscard]] std::string name() const;
  /// "docker.io/library/alpine:3.19@sha256:…": all that is known.
  [[nodiscard]] std::string to_string() const;
  /// As users say it: "alpine:3.19", without docker.io and library/.
  [[nodiscard]] std::string familiar() const;
  /// The canonical name by digest only, if there is one, else by tag: what docker-image:// sources
  /// of LLB say.
  [[nodiscard]] std::string to_source_string() const;

  friend bool operator==(const Reference&, const Reference&) = default;
};

}  // namespace cobuild::oci
