#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.hpp"
#include "oci/spec/cache_config.hpp"

/// Caches of strangers: refused, or read and written so that they can be read again, whole.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild::oci;
  std::string_view const text(reinterpret_cast<const char*>(data), size);
  try {
    CacheConfig config = parse_cache_config(text);
    sort_cache_config(config);
    CacheConfig const again = parse_cache_config(to_json(config));
    if (again.layers.size() != config.layers.size()) __builtin_trap();
    for (std::size_t i = 0; i < config.layers.size(); ++i) {
      auto const& pack = config.layers[i].pack;
      if (pack != again.layers[i].pack) __builtin_trap();
      if (pack && (pack->length > pack->size || pack->offset > pack->size - pack->length)) __builtin_trap();
    }
    if (again.records.size() != config.records.size()) __builtin_trap();
  } catch (const cobuild::Error&) {
  }
  try {
    (void)to_json(parse_cache_records(text, 3));
  } catch (const cobuild::Error&) {
  }
  return 0;
}
