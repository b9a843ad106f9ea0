#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "core/base/error.hpp"
#include "registry/aws_credentials.hpp"
#include "registry/github_token.hpp"
#include "registry/registry_error.hpp"
#include "registry/xml.hpp"

namespace {

std::size_t depth(const cobuild::registry::XmlElement& element) {
  std::size_t most = 0;
  for (const auto& child : element.children) most = std::max(most, depth(child));
  return most + 1;
}

}  // namespace

/// What object stores and token services answer.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string const text(reinterpret_cast<const char*>(data), size);
  if (auto const xml = cobuild::registry::try_parse_xml(text)) {
    if (depth(*xml) > 16) __builtin_trap();
  }
  (void)cobuild::registry::service_error_code(text);
  std::string const message = cobuild::registry::registry_message(text);
  if (message.find('\n') != std::string::npos || message.find('\x1b') != std::string::npos) {
    __builtin_trap();
  }
  (void)cobuild::registry::find_aws_profile(text, "default", false);
  try {
    (void)cobuild::registry::parse_github_token(text, {});
  } catch (const cobuild::Error&) {
  }
  return 0;
}
