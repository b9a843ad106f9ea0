/// The value of --output: CSV with quotes.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "cli/options.hpp"
#include "core/base/error.hpp"
#include "core/base/units.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string const text(reinterpret_cast<const char*>(data), size);
  cobuild::cli::Surroundings around;
  around.environment = [](std::string_view) { return std::optional<std::string>(); };
  try {
    auto const output = cobuild::cli::parse_output(text, around);
    if (output.type.empty()) __builtin_trap();
  } catch (const cobuild::Error& error) {
    if (error.kind() != cobuild::ErrorKind::kInvalidInput) __builtin_trap();
  }
  auto const bytes = cobuild::try_parse_bytes(text, cobuild::SizeUnits::kBinary);
  if (bytes && *bytes < 0) __builtin_trap();
  return 0;
}
