#include "oci/spec/json_text.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include <array>
#include <charconv>
#include <cmath>

#include "core/base/error.hpp"
#include "core/base/utf8.hpp"

namespace cobuild::oci {
namespace {

namespace json = boost::json;

constexpr int kCompact = -1;  ///< Instead of a depth: everything on one line.

void append_escaped(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (std::size_t i = 0; i < text.size(); ++i) {
    char const c = text[i];
    switch (c) {
      case '"': out += "\\\""; continue;
      case '\\': out += "\\\\"; continue;
      case '\b': out += "\\b"; continue;
      case '\f': out += "\\f"; continue;
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      default: break;
    }
    auto const byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || c == '<' || c == '>' || c == '&') {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else if (auto rest = text.substr(i, 3); rest == "\u2028" || rest == "\u2029") {
      out += rest == "\u2028" ? "\\u2028" : "\\u2029";
      i += 2;
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_double(double number, std::string& out) {
  std::array<char, 32> buffer{};
  bool const plain = number == 0 || (std::fabs(number) >= 1e-6 && std::fabs(number) < 1e21);
  auto [end, error] =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), number,
                    plain ? std::chars_format::fixed : std::chars_format::scientific);
  if (error != std::errc()) {
    out += json::serialize(json::value(number));
    return;
  }
  out.append(buffer.data(), end);
}

void append_newline(int depth, std::string& out) {
  if (depth == kCompact) return;
  out += '\n';
  out.append(static_cast<std::size_t>(depth) * 2, ' ');
}

void append(const json::value& value, int depth, std::string& out);

/// What lists and objects have in common: brackets, commas and line breaks around `item`.
template <class Range, class Item>
void append_items(const Range& range, std::string_view brackets, int depth, std::string& out,
                  Item item) {
  out += brackets[0];
  int const inner = depth == kCompact ? kCompact : depth + 1;
  bool first = true;
  for (const auto& entry : range) {
    if (!first) out += ',';
    first = false;
    append_newline(inner, out);
    item(entry, inner);
  }
  if (!first) append_newline(depth, out);
  out += brackets[1];
}

void append(const json::value& value, int depth, std::string& out) {
  switch (value.kind()) {
    case json::kind::null: out += "null"; break;
    case json::kind::bool_: out += value.get_bool() ? "true" : "false"; break;
    case json::kind::int64: out += std::to_string(value.get_int64()); break;
    case json::kind::uint64: out += std::to_string(value.get_uint64()); break;
    case json::kind::double_: append_double(value.get_double(), out); break;
    case json::kind::string: append_escaped(value.get_string(), out); break;
    case json::kind::array:
      append_items(value.get_array(), "[]", depth, out,
                   [&](const json::value& item, int inner) { append(item, inner, out); });
      break;
    case json::kind::object:
      append_items(value.get_object(), "{}", depth, out,
                   [&](const json::key_value_pair& member, int inner) {
                     append_escaped(member.key(), out);
                     out += inner == kCompact ? ":" : ": ";
                     append(member.value(), inner, out);
                   });
      break;
  }
}

}  // namespace

json::value parse_json(std::string_view text, std::string_view what) {
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  json::error_code error;
  json::value value = json::parse(text, error, json::storage_ptr(), options);
  if (error) {
    throw Error(ErrorKind::kCorrupt, std::string(what) + " is not valid JSON: " + error.message());
  }
  return value;
}

void append_json_string(std::string_view text, std::string& out) {
  append_escaped(to_valid_utf8(text), out);
}

std::string to_compact_text(const json::value& value) {
  std::string out;
  append(value, kCompact, out);
  return out;
}

std::string to_indented_text(const json::value& value) {
  std::string out;
  append(value, 0, out);
  return out;
}

}  // namespace cobuild::oci
