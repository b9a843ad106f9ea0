#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.hpp"
#include "oci/spec/cache_config.hpp"

/// Caches of strangers: refused, or read, sorted and written to a fixed point.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild::oci;
  std::string_view const text(reinterpret_cast<const char*>(data), size);
  try {
    CacheConfig config = parse_cache_config(text);
    sort_cache_config(config);
    CacheConfig again = parse_cache_config(to_json(config));
    sort_cache_config(again);
    if (to_json(again) != to_json(config)) __builtin_trap();
  } catch (const cobuild::Error&) {
  }
  try {
    (void)to_json(parse_cache_records(text, 3));
  } catch (const cobuild::Error&) {
  }
  return 0;
}
