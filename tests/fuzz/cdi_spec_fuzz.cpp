// Files that describe devices, as JSON and as YAML.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "ops/exec/cdi_spec.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild;
  std::string_view const text(reinterpret_cast<const char*>(data), size);
  for (auto const format : {ops::CdiFormat::kJson, ops::CdiFormat::kYaml}) {
    try {
      ops::CdiSpec const spec = ops::parse_cdi_spec(text, format);
      COBUILD_ASSERT(!spec.devices.empty(), "a file without devices");
      for (const ops::CdiDevice& device : spec.devices) {
        COBUILD_ASSERT(device.name.starts_with(spec.kind + "="), "a device of another kind");
      }
    } catch (const Error&) {
    }
  }
  return 0;
}
