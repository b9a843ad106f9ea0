#pragma once

/// Messages of the SSH agent protocol (draft-ietf-sshm-ssh-agent), without the length in front of
/// them. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild::ops {

inline constexpr std::size_t kAgentMessage_max = std::size_t{256} * 1024;  ///< As OpenSSH has it.
inline constexpr std::size_t kAgentLengthBytes = 4;                        ///< In front of each message.

/// The first byte of a message.
enum class AgentMessage : unsigned char {
  kFailure = 5,
  kListKeys = 11,
  kKeys = 12,
  kSign = 13,
  kSignature = 14,
  kExtension = 27,
  kExtensionFailure = 28,
};

/// What SSH agents and keys are made of: numbers and strings, most significant byte first.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  /// Each takes one value off the front; nullopt when there is not enough.
  std::optional<std::uint32_t> take_number();
  std::optional<std::string_view> take_string();
  std::optional<std::string_view> take_bytes(std::size_t count);

  [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

 private:
  std::string_view rest_;
};

void append_wire_number(std::string& out, std::uint32_t number);
void append_wire_string(std::string& out, std::string_view bytes);

struct SignRequest {
  static constexpr std::uint32_t kRsaSha256 = 2;
  static constexpr std::uint32_t kRsaSha512 = 4;
  std::string_view key;   ///< The public one, as list answers have it. Into the message, like `data`.
  std::string_view data;
  std::uint32_t flags = 0;
};

/// nullopt when `message` is no well-formed request to sign.
[[nodiscard]] std::optional<SignRequest> parse_sign_request(std::string_view message);

/// Whether a step may ask a user's agent for this: its keys, or a signature (F7.3.5).
[[nodiscard]] bool is_permitted_request(std::string_view message);

/// Whether an agent may say this to what is_permitted_request: anything else is not passed on.
[[nodiscard]] bool is_permitted_answer(std::string_view message);

/// The answer that says no to `message`.
[[nodiscard]] std::string refusal_of(std::string_view message);

/// The answer with these public keys; comments are empty.
[[nodiscard]] std::string keys_answer(const std::vector<std::string>& keys);
[[nodiscard]] std::string signature_answer(std::string_view signature);

}  // namespace cobuild::ops
