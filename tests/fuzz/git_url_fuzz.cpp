#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "dockerfile/frontend.hpp"
#include "dockerfile/git_reference.hpp"

/// What is read of an address is an address of the same repository, and never an option of git's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild;
  std::string_view const text(reinterpret_cast<const char*>(data), size);
  if (auto const url = try_parse_git_url(text)) {
    if (url->remote.starts_with('-') || url->subdir.starts_with('/')) __builtin_trap();
    auto const again = try_parse_git_url(url->remote);
    if (!again || again->remote != url->remote || again->host != url->host) __builtin_trap();
    if (!url->password.empty() && redact_credentials(url->remote) == url->remote) __builtin_trap();
  }
  try {
    (void)dockerfile::try_parse_git_reference(text);
  } catch (const Error&) {
  }
  (void)dockerfile::is_context_archive(text);
  return 0;
}
