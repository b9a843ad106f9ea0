#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.hpp"
#include "oci/spec/platform.hpp"
#include "oci/spec/reference.hpp"

/// What parses has one canonical form, which parses to itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild::oci;
  std::string_view const text(reinterpret_cast<const char*>(data), size);
  try {
    Reference const reference = Reference::parse(text);
    if (Reference::parse(reference.to_string()) != reference) __builtin_trap();
  } catch (const cobuild::Error&) {
  }
  try {
    Platform const normal = normalize_platform(parse_platform(text));
    if (normalize_platform(normal) != normal || !platform_runs(normal, normal)) __builtin_trap();
  } catch (const cobuild::Error&) {
  }
  return 0;
}
