#include "ops/go_json.hpp"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/map.h>
#include <google/protobuf/reflection.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/base/assert.hpp"
#include "core/llb/ops.pb.h"

namespace cobuild::ops {

namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

/// The length of the UTF-8 sequence at the start of `text`, 0 if there is none, as Go's decoder has
/// it: no overlong forms, no surrogates, nothing beyond U+10FFFF.
std::size_t rune_length(std::string_view text) {
  auto byte = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  auto in = [&](std::size_t i, unsigned low, unsigned high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  unsigned const first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return in(1, 0x80, 0xBF) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    unsigned const low = first == 0xE0 ? 0xA0 : 0x80;
    unsigned const high = first == 0xED ? 0x9F : 0xBF;
    return in(1, low, high) && in(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    unsigned const low = first == 0xF0 ? 0x90 : 0x80;
    unsigned const high = first == 0xF4 ? 0x8F : 0xBF;
    return in(1, low, high) && in(2, 0x80, 0xBF) && in(3, 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

void append_escaped_ascii(std::string& out, char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  switch (c) {
    case '"': out += "\\\""; return;
    case '\\': out += "\\\\"; return;
    case '\b': out += "\\b"; return;
    case '\f': out += "\\f"; return;
    case '\n': out += "\\n"; return;
    case '\r': out += "\\r"; return;
    case '\t': out += "\\t"; return;
    default: break;
  }
  if (static_cast<unsigned char>(c) < 0x20 || c == '<' || c == '>' || c == '&') {
    out += "\\u00";
    out += kHex[static_cast<unsigned char>(c) >> 4];
    out += kHex[static_cast<unsigned char>(c) & 15];
    return;
  }
  out += c;
}

void append_base64(std::string& out, std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  out += '"';
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::size_t const count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= count ? kDigits[(group >> (18 - 6 * k)) & 63] : '=';
    }
  }
  out += '"';
}

/// Writes the values of one message's fields.
class FieldWriter {
 public:
  FieldWriter(std::string& out, const Message& message)
      : out_(out), message_(message), reflection_(*message.GetReflection()) {}

  void object() {
    out_ += '{';
    const auto& descriptor = *message_.GetDescriptor();
    bool first = true;
    for (int i = 0; i < descriptor.field_count(); ++i) {
      const FieldDescriptor& field = *descriptor.field(i);
      if (is_empty(field)) continue;
      if (!std::exchange(first, false)) out_ += ',';
      append_go_json_string(out_, field.name());
      out_ += ':';
      if (field.is_map()) {
        map(field);
      } else if (field.is_repeated()) {
        list(field);
      } else {
        value(field, -1);
      }
    }
    out_ += '}';
  }

 private:
  bool is_empty(const FieldDescriptor& field) const {
    // Singular fields without presence are "set" when they are not zero, which is Go's omitempty.
    return field.is_repeated() ? reflection_.FieldSize(message_, &field) == 0
                               : !reflection_.HasField(message_, &field);
  }

  void list(const FieldDescriptor& field) {
    out_ += '[';
    for (int i = 0; i < reflection_.FieldSize(message_, &field); ++i) {
      if (i > 0) out_ += ',';
      value(field, i);
    }
    out_ += ']';
  }

  void map(const FieldDescriptor& field) {
    std::vector<std::pair<std::string, const Message*>> entries;
    const FieldDescriptor* key = field.message_type()->map_key();
    for (int i = 0; i < reflection_.FieldSize(message_, &field); ++i) {
      const Message& entry = reflection_.GetRepeatedMessage(message_, &field, i);
      entries.emplace_back(entry.GetReflection()->GetString(entry, key), &entry);
    }
    std::sort(entries.begin(), entries.end());
    out_ += '{';
    bool first = true;
    for (const auto& [name, entry] : entries) {
      if (!std::exchange(first, false)) out_ += ',';
      append_go_json_string(out_, name);
      out_ += ':';
      FieldWriter(out_, *entry).value(*field.message_type()->map_value(), -1);
    }
    out_ += '}';
  }

  /// One scalar or message; `index` is -1 for singular fields.
  void value(const FieldDescriptor& field, int index) {
    bool const at = index >= 0;
    const Reflection& r = reflection_;
    const Message& m = message_;
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        out_ +=
            (at ? r.GetRepeatedBool(m, &field, index) : r.GetBool(m, &field)) ? "true" : "false";
        return;
      case FieldDescriptor::CPPTYPE_INT32:
        number(at ? r.GetRepeatedInt32(m, &field, index) : r.GetInt32(m, &field));
        return;
      case FieldDescriptor::CPPTYPE_INT64:
        number(at ? r.GetRepeatedInt64(m, &field, index) : r.GetInt64(m, &field));
        return;
      case FieldDescriptor::CPPTYPE_UINT32:
        number(at ? r.GetRepeatedUInt32(m, &field, index) : r.GetUInt32(m, &field));
        return;
      case FieldDescriptor::CPPTYPE_UINT64:
        number(at ? r.GetRepeatedUInt64(m, &field, index) : r.GetUInt64(m, &field));
        return;
      case FieldDescriptor::CPPTYPE_ENUM:
        number(at ? r.GetRepeatedEnumValue(m, &field, index) : r.GetEnumValue(m, &field));
        return;
      case FieldDescriptor::CPPTYPE_STRING: {
        std::string const text =
            at ? r.GetRepeatedString(m, &field, index) : r.GetString(m, &field);
        if (field.type() == FieldDescriptor::TYPE_BYTES) {
          append_base64(out_, text);
        } else {
          append_go_json_string(out_, text);
        }
        return;
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        append_go_json(out_, at ? r.GetRepeatedMessage(m, &field, index) : r.GetMessage(m, &field));
        return;
      default: break;
    }
    COBUILD_ASSERT(false, "pb has no floats");
  }

  template <class Number>
  void number(Number n) {
    out_ += std::to_string(n);
  }

  std::string& out_;
  const Message& message_;
  const Reflection& reflection_;
};

/// {"User":{"byName":{...}}} or {"User":{"byId":7}}, a zero left out.
void append_user(std::string& out, const pb::UserOpt& user) {
  out += "{\"User\":{";
  if (user.has_byname()) {
    out += "\"byName\":";
    append_go_json(out, user.byname());
  } else if (user.byid() != 0) {
    out += "\"byId\":" + std::to_string(user.byid());
  }
  out += "}}";
}

}  // namespace

void append_go_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    std::size_t const length = rune_length(text);
    if (length == 0) {
      out += "\\ufffd";
      text.remove_prefix(1);
      continue;
    }
    std::string_view const rune = text.substr(0, length);
    text.remove_prefix(length);
    if (length == 1) {
      append_escaped_ascii(out, rune[0]);
    } else if (rune == "\xE2\x80\xA8") {
      out += "\\u2028";
    } else if (rune == "\xE2\x80\xA9") {
      out += "\\u2029";
    } else {
      out += rune;
    }
  }
  out += '"';
}

void append_go_json(std::string& out, const Message& message) {
  if (message.GetDescriptor() == pb::UserOpt::descriptor()) {
    append_user(out, static_cast<const pb::UserOpt&>(message));
    return;
  }
  FieldWriter(out, message).object();
}

}  // namespace cobuild::ops
