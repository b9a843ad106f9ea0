#pragma once

/// The table of contents of an eStargz layer, and where a reader finds it
/// (https://github.com/containerd/stargz-snapshotter/blob/main/docs/estargz.md).

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/digest.hpp"
#include "oci/tar_reader.hpp"

namespace cobuild::oci {

/// Annotations of the layer's descriptor (F4.5.14).
inline constexpr std::string_view kStargzTocDigest = "containerd.io/snapshot/stargz/toc.digest";
inline constexpr std::string_view kStargzUncompressedSize =
    "io.containers.estargz.uncompressed-size";

/// The file of the layer that is the table.
inline constexpr std::string_view kStargzTocName = "stargz.index.json";

/// One entry of the layer's tar, or a further chunk of the file before it.
struct StargzEntry {
  TarEntry entry{};                      ///< Of a chunk, only the name.
  bool is_chunk = false;                 ///< Not the first of its file.
  std::optional<Digest> digest{};        ///< Of a regular file; set on its first chunk.
  std::uint64_t chunk_offset = 0;        ///< In the file.
  std::uint64_t chunk_size = 0;          ///< 0: to the end of the file.
  std::optional<Digest> chunk_digest{};  ///< Unset for what has no contents.
  std::size_t cut = 0;                   ///< Which gzip member the contents begin; counts from 0.
};

/// The table as the last bytes of the layer's tar.
struct StargzToc {
  std::string tar;  ///< Entry, contents, padding and the end of the archive.
  Digest digest;    ///< Of the contents.
};

/// `cuts`: where in the blob the gzip members begin that entries refer to.
[[nodiscard]] StargzToc make_stargz_toc(const std::vector<StargzEntry>& entries,
                                        const std::vector<std::uint64_t>& cuts);

/// The last 51 bytes of the blob: an empty gzip member that says where the one of the table begins.
[[nodiscard]] std::string stargz_footer(std::uint64_t toc_offset);

}  // namespace cobuild::oci
