// User files of images, and modes as the user writes them.

#include <cstdint>
#include <string_view>

#include "core/base/error.hpp"
#include "ops/copy_mode.hpp"
#include "ops/go_json.hpp"
#include "ops/user_lookup.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view const text(reinterpret_cast<const char*>(data), size);
  std::string_view const spec = text.substr(0, text.find('\n'));
  try {
    static_cast<void>(cobuild::ops::lookup_exec_user(spec, text, text));
  } catch (const cobuild::Error&) {
  }
  try {
    // Only permission bits may come out.
    if ((cobuild::ops::ModeChange::parse(spec).apply(0100644) & ~07777U) != 0) __builtin_trap();
  } catch (const cobuild::Error&) {
  }
  std::string json;
  cobuild::ops::append_go_json_string(json, text);
  if (json.size() < 2) __builtin_trap();
  return 0;
}
