// Filters of du and prune, as users write them.

#include <cstdint>
#include <string>

#include "core/base/error.hpp"
#include "core/store/usage_filter.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 200) return 0;
  std::string const text(reinterpret_cast<const char*>(data), size);
  // Regular expressions are libstdc++'s, not ours: only what is around them is looked at.
  if (text.find("~=") != std::string::npos) return 0;
  cobuild::store::UsageRecord record;
  record.id = "abc";
  record.description = "RUN make";
  try {
    (void)cobuild::store::UsageFilter({text}, "prune").matches(record);
  } catch (const cobuild::Error&) {
  }
  return 0;
}
