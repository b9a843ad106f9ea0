#pragma once

/// What image archives and layout directories have in common: descriptors and index.json.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oci/export_image.hpp"
#include "oci/spec/descriptor.hpp"
#include "oci/spec/manifest.hpp"

namespace cobuild::oci {

inline constexpr std::string_view kOciLayoutText = R"({"imageLayoutVersion":"1.0.0"})";

/// Content by its type, digest and size in bytes; nothing else is said of it.
[[nodiscard]] Descriptor describe(std::string media_type, const BlobDigest& digest,
                                  std::uint64_t size);

/// The image's manifest or index, with its creation time (F4.3.5).
[[nodiscard]] Descriptor root_descriptor(const ExportImage& image);

/// One for each name, with the annotations that carry it (F4.3.4); one without when there is none.
[[nodiscard]] std::vector<Descriptor> named_descriptors(const ExportImage& image);

/// `manifest`, with the annotations that carry a full name ("docker.io/library/a:1").
[[nodiscard]] Descriptor with_name(Descriptor manifest, const std::string& name);

/// index.json, compact as BuildKit writes it there.
[[nodiscard]] std::string index_text(const Index& index);

}  // namespace cobuild::oci
