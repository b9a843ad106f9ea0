// What a step says to an SSH agent, and key files.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/assert.hpp"
#include "core/base/error.hpp"
#include "ops/lend/agent_protocol.hpp"
#include "ops/lend/ssh_key.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cobuild;
  using namespace cobuild::ops;
  std::string_view const bytes(reinterpret_cast<const char*>(data), size);
  bool const permitted = is_permitted_request(bytes);
  auto const sign = parse_sign_request(bytes);
  if (sign) {
    COBUILD_ASSERT(permitted, "a signature may be asked for");
    COBUILD_ASSERT(sign->key.size() + sign->data.size() + 13 == bytes.size(), "bytes were lost");
  } else {
    COBUILD_ASSERT(!permitted || bytes == "\x0b", "something else may be asked for");
  }
  COBUILD_ASSERT(refusal_of(bytes).size() == 1, "a refusal says nothing");
  static_cast<void>(is_permitted_answer(bytes));
  WireReader reader(bytes);
  while (reader.take_string()) {
  }
  try {
    SshKey const key = SshKey::parse(bytes, "key");
    static_cast<void>(key.sign({.key = key.public_key(), .data = "data", .flags = 0}));
  } catch (const Error&) {
  }
  return 0;
}
