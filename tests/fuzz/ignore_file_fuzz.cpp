// Any text as .dockerignore, its last line also as a path.
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/path_pattern.hpp"
#include "dockerfile/ignore_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild;
  std::string const text(reinterpret_cast<const char*>(data), size);
  std::size_t const newline = text.rfind('\n');
  if (newline == std::string::npos) return 0;
  std::string const path = go_path::clean("/" + text.substr(newline + 1)).substr(1);
  try {
    auto const file = dockerfile::parse_ignore_file(text.substr(0, newline), ".dockerignore");
    PatternSet const set(file.patterns);
    (void)set.match(path);
    (void)set.may_match_below(path);
    (void)dockerfile::explain_missing_source(path, file, {});
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInvalidInput) __builtin_trap();
  }
  return 0;
}
