/// What programs in RUN print, on a screen whose size the first two bytes choose.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "cli/terminal_screen.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  cobuild::cli::TerminalScreen screen(data[0] % 12, data[1] % 40);
  std::string_view const bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  screen.write(bytes.substr(0, bytes.size() / 2));
  screen.resize(data[1] % 12, data[0] % 40);
  screen.write(bytes.substr(bytes.size() / 2));
  for (const std::string& line : screen.lines()) {
    for (char const c : line) {
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) __builtin_trap();
    }
  }
  return 0;
}
