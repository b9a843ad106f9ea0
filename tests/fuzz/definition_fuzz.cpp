/// LLB from stdin: bytes to a definition to a graph.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.hpp"
#include "core/llb/definition.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    auto const definition =
        cobuild::llb::parse_definition(std::string_view(reinterpret_cast<const char*>(data), size));
    cobuild::llb::LoadOptions options;
    options.default_platform = cobuild::llb::host_platform();
    (void)cobuild::llb::load(definition, options);
  } catch (const cobuild::Error&) {
  }
  return 0;
}
