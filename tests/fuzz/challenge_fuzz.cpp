#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/error.hpp"
#include "registry/auth_challenge.hpp"
#include "registry/referrers.hpp"
#include "registry/registry_error.hpp"
#include "registry/retry.hpp"
#include "registry/upload.hpp"
#include "registry/url.hpp"

/// Headers and bodies that a hostile registry sends.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string const text(reinterpret_cast<const char*>(data), size);
  for (const auto& challenge : cobuild::registry::parse_challenges({text})) {
    (void)cobuild::registry::merge_scopes({challenge.parameter("scope")});
  }
  std::string const message = cobuild::registry::registry_message(text);
  if (message.find('\n') != std::string::npos || message.find('\x1b') != std::string::npos) {
    __builtin_trap();
  }
  (void)cobuild::registry::parse_retry_after(text, {});
  cobuild::registry::Headers headers;
  headers.add("Range", text);
  (void)cobuild::registry::uploaded_bytes(headers);
  headers.add("Link", text);
  (void)cobuild::registry::next_page(headers);
  try {
    auto const url = cobuild::registry::Url::parse("https://h/a/b").resolve(text);
    if (cobuild::registry::Url::parse(url.to_string()) != url) __builtin_trap();
  } catch (const cobuild::Error&) {
  }
  return 0;
}
