// Any text as a Dockerfile: it is lowered, or refused with an Error, in bounded time and memory.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/error.hpp"
#include "dockerfile/frontend.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild::dockerfile;
  std::string const text(reinterpret_cast<const char*>(data), size);
  ConvertOptions options;
  options.build_platform.set_os("linux");
  options.build_platform.set_architecture("amd64");
  (void)detect_syntax(text);
  Parsed const parsed = parse(text, "Dockerfile");
  try {
    auto const images = list_base_images(parsed, options, {});
    if (images.empty()) (void)lower(parsed, options, {});
  } catch (const cobuild::Error& error) {
    if (error.kind() == cobuild::ErrorKind::kInternal) __builtin_trap();
  }
  return 0;
}
