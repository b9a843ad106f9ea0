#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.hpp"
#include "oci/spec/image_config.hpp"
#include "oci/spec/manifest.hpp"

/// Manifests, indexes and image configs of strangers: refused, or read and written to a fixed
/// point.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild::oci;
  std::string_view const text(reinterpret_cast<const char*>(data), size);
  try {
    Manifest const manifest = parse_manifest(text);
    if (parse_manifest(to_json(manifest)) != manifest) __builtin_trap();
  } catch (const cobuild::Error&) {
  }
  try {
    Index const index = parse_index(text);
    if (parse_index(to_json(index)) != index) __builtin_trap();
  } catch (const cobuild::Error&) {
  }
  try {
    ImageConfig const config = parse_image_config(text);
    if (parse_image_config(to_json(config)) != config) __builtin_trap();
  } catch (const cobuild::Error&) {
  }
  return 0;
}
