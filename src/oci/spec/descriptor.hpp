#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/digest.hpp"
#include "oci/spec/platform.hpp"

namespace cobuild::oci {

/// Names content: what it is, its digest and its size. Whoever fetches it checks both.
struct Descriptor {
  std::string media_type;
  BlobDigest digest;
  std::uint64_t size = 0;  ///< Bytes.
  std::vector<std::string> urls;
  std::map<std::string, std::string> annotations;
  std::optional<Platform> platform;
  std::string artifact_type;
  std::string data;  ///< The content itself, base64 as in the JSON. Mostly empty.

  friend bool operator==(const Descriptor&, const Descriptor&) = default;
};

}  // namespace cobuild::oci
