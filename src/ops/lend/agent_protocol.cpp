#include "ops/lend/agent_protocol.hpp"

namespace cobuild::ops {
namespace {

constexpr unsigned kByteBits = 8;

bool is_a(std::string_view message, AgentMessage type) {
  return !message.empty() && static_cast<AgentMessage>(message[0]) == type;
}

std::string start_with(AgentMessage type) { return std::string(1, static_cast<char>(type)); }

}  // namespace

std::optional<std::uint32_t> WireReader::take_number() {
  auto const bytes = take_bytes(sizeof(std::uint32_t));
  if (!bytes) return std::nullopt;
  std::uint32_t number = 0;
  for (char const byte : *bytes) number = number << kByteBits | static_cast<unsigned char>(byte);
  return number;
}

std::optional<std::string_view> WireReader::take_string() {
  std::string_view const before = rest_;
  auto const size = take_number();
  auto const bytes = size ? take_bytes(*size) : std::nullopt;
  if (!bytes) rest_ = before;
  return bytes;
}

std::optional<std::string_view> WireReader::take_bytes(std::size_t count) {
  if (count > rest_.size()) return std::nullopt;
  std::string_view const bytes = rest_.substr(0, count);
  rest_.remove_prefix(count);
  return bytes;
}

void append_wire_number(std::string& out, std::uint32_t number) {
  for (unsigned shift = 3 * kByteBits;; shift -= kByteBits) {
    out += static_cast<char>(number >> shift);
    if (shift == 0) return;
  }
}

void append_wire_string(std::string& out, std::string_view bytes) {
  append_wire_number(out, static_cast<std::uint32_t>(bytes.size()));
  out += bytes;
}

std::optional<SignRequest> parse_sign_request(std::string_view message) {
  if (!is_a(message, AgentMessage::kSign)) return std::nullopt;
  WireReader reader(message.substr(1));
  auto const key = reader.take_string();
  auto const data = reader.take_string();
  auto const flags = reader.take_number();
  if (!key || !data || !flags || !reader.rest().empty()) return std::nullopt;
  return SignRequest{.key = *key, .data = *data, .flags = *flags};
}

bool is_permitted_request(std::string_view message) {
  if (is_a(message, AgentMessage::kListKeys)) return message.size() == 1;
  return parse_sign_request(message).has_value();
}

bool is_permitted_answer(std::string_view message) {
  return is_a(message, AgentMessage::kFailure) || is_a(message, AgentMessage::kKeys) ||
         is_a(message, AgentMessage::kSignature);
}

std::string refusal_of(std::string_view message) {
  return start_with(is_a(message, AgentMessage::kExtension) ? AgentMessage::kExtensionFailure
                                                            : AgentMessage::kFailure);
}

std::string keys_answer(const std::vector<std::string>& keys) {
  std::string answer = start_with(AgentMessage::kKeys);
  append_wire_number(answer, static_cast<std::uint32_t>(keys.size()));
  for (const std::string& key : keys) {
    append_wire_string(answer, key);
    append_wire_string(answer, "");
  }
  return answer;
}

std::string signature_answer(std::string_view signature) {
  std::string answer = start_with(AgentMessage::kSignature);
  append_wire_string(answer, signature);
  return answer;
}

}  // namespace cobuild::ops
