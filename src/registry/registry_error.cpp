#include "registry/registry_error.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "registry/retry.hpp"
#include "registry/xml.hpp"

namespace cobuild::registry {
namespace {

namespace json = boost::json;

constexpr std::size_t kMessageLengthMax = 300;
constexpr std::size_t kMessagesMax = 4;

constexpr std::array kStatusNames = {
    std::pair{400, "Bad Request"},         std::pair{401, "Unauthorized"},
    std::pair{403, "Forbidden"},           std::pair{404, "Not Found"},
    std::pair{405, "Method Not Allowed"},  std::pair{406, "Not Acceptable"},
    std::pair{408, "Request Timeout"},     std::pair{409, "Conflict"},
    std::pair{413, "Content Too Large"},   std::pair{416, "Range Not Satisfiable"},
    std::pair{429, "Too Many Requests"},   std::pair{500, "Internal Server Error"},
    std::pair{501, "Not Implemented"},     std::pair{502, "Bad Gateway"},
    std::pair{503, "Service Unavailable"}, std::pair{504, "Gateway Timeout"},
    std::pair{507, "Insufficient Storage"}};

/// One line, without control characters (a registry does not get to move our cursor), not too long.
std::string printable(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, kMessageLengthMax)) {
    auto const byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte == 0x7f ? ' ' : c;
  }
  while (out.ends_with(' ')) out.pop_back();
  auto const start = std::min(out.find_first_not_of(' '), out.size());
  if (text.size() > kMessageLengthMax) out += "…";
  return out.substr(start);
}

std::string text_of(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

/// What some services put before their texts.
std::string_view without_mark(std::string_view text) {
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  return text;
}

std::string join(std::string a, const std::string& b) {
  if (a.empty() || b.empty() || a == b) return a.empty() ? b : a;
  return a + ": " + b;
}

std::string from_object(const json::object& object) {
  std::string out;
  const json::value* errors = object.if_contains("errors");
  if (const json::array* list = errors ? errors->if_array() : nullptr) {
    for (const json::value& entry : *list) {
      const json::object* error = entry.if_object();
      if (!error || out.size() > kMessageLengthMax * kMessagesMax) continue;
      std::string const text = printable(join(text_of(*error, "code"), text_of(*error, "message")));
      if (!text.empty()) out += (out.empty() ? "" : "; ") + text;
    }
    if (!out.empty()) return out;
  }
  for (std::string_view name : {"message", "msg", "details", "error_description", "error"}) {
    if (std::string text = text_of(object, name); !text.empty()) return printable(text);
  }
  return {};
}

/// The element that has Code and Message: Error, or that within an ErrorResponse.
std::optional<XmlElement> find_xml_error(std::string_view body) {
  auto root = try_parse_xml(body.substr(0, kErrorBodyBytesMax));
  if (!root || root->name == "Error") return root;
  const XmlElement* const error = root->find("Error");
  return error == nullptr ? std::nullopt : std::optional(*error);
}

ErrorKind kind_of(int status) {
  if (status == 401 || status == 403) return ErrorKind::kDenied;
  if (status == 404) return ErrorKind::kNotFound;
  if (is_retryable_status(status) || status >= 500) return ErrorKind::kUnavailable;
  return ErrorKind::kUnsupported;
}

}  // namespace

std::string registry_message(std::string_view body) {
  body = without_mark(body);
  json::error_code error;
  json::value const value = json::parse(body.substr(0, kErrorBodyBytesMax), error);
  if (!error && value.is_object()) return from_object(value.get_object());
  auto const first = body.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || body[first] == '{') return {};
  if (body[first] == '<') {
    auto const xml = find_xml_error(body);
    return xml ? printable(join(xml->text_of("Code"), xml->text_of("Message"))) : std::string();
  }
  std::string_view const line = body.substr(first);
  return printable(line.substr(0, line.find_first_of("\r\n")));
}

std::string service_error_code(std::string_view body) {
  body = without_mark(body);
  json::error_code error;
  json::value const value = json::parse(body.substr(0, kErrorBodyBytesMax), error);
  if (!error && value.is_object()) {
    std::string const code = text_of(value.get_object(), "typeKey");
    return code.empty() ? text_of(value.get_object(), "code") : code;
  }
  auto const xml = find_xml_error(body);
  return xml ? xml->text_of("Code") : std::string();
}

std::string status_text(int status) {
  std::string text = std::to_string(status);
  auto const named =
      std::ranges::find(kStatusNames, status, [](const auto& entry) { return entry.first; });
  if (named != kStatusNames.end()) text.append(" ").append(named->second);
  return text;
}

Error status_error(Method method, const Url& url, int status, std::string_view body) {
  std::string text = "unexpected status from " + std::string(to_string(method)) + " request to " +
                     url.to_display() + ": " + status_text(status);
  if (std::string const said = registry_message(body); !said.empty()) text += ": " + said;
  return Error(kind_of(status), std::move(text));
}

}  // namespace cobuild::registry
