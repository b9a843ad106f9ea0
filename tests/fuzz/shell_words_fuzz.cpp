// Any text as a word with variables and quotes.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.hpp"
#include "dockerfile/shell_words.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild::dockerfile;
  if (size == 0) return 0;
  EnvList env;
  env.set("a", "a/b.c*\xC3\xA9\n");
  env.set("b", "");
  WordOptions const options{.escape = (data[0] & 1) != 0 ? '`' : '\\',
                            .raw_quotes = (data[0] & 2) != 0,
                            .raw_escapes = (data[0] & 4) != 0,
                            .skip_quotes = (data[0] & 8) != 0,
                            .skip_unset = (data[0] & 16) != 0};
  std::string_view const word(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    (void)expand_word(word, env, options);
  } catch (const cobuild::Error&) {
    return 0;
  }
  return 0;
}
