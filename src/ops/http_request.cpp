#include "ops/http_request.hpp"

#include <algorithm>
#include <charconv>

#include "core/base/error.hpp"
#include "core/base/git_url.hpp"
#include "core/base/go_path.hpp"
#include "core/base/go_quote.hpp"
#include "ops/go_json.hpp"
#include "registry/url.hpp"

namespace cobuild::ops {
namespace {

constexpr std::string_view kHeaderPrefix = "http.header.";
constexpr const char* kDefaultName = "download";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

/// A number as Go's ParseInt reads it with base 0.
unsigned parse_number(const std::string& name, const std::string& text) {
  std::string_view digits = text;
  int base = 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    base = 16;
    digits.remove_prefix(2);
  } else if (digits.starts_with("0o") || digits.starts_with("0O")) {
    base = 8;
    digits.remove_prefix(2);
  } else if (digits.size() > 1 && digits.starts_with('0')) {
    base = 8;
  }
  unsigned value = 0;
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    throw Error(ErrorKind::kInvalidInput, "strconv.ParseInt: parsing " + go_quote(text) +
                                              ": invalid syntax (attribute " + name + ")");
  }
  return value;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n\v\f";
  std::size_t const begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

/// One component that can be made in a directory, whatever it is made of.
std::string safe_name(std::string_view text) {
  std::string name = go_path::base(trim(text));
  bool const is_bad = name.empty() || name == "." || name == ".." || name == "/" ||
                      std::ranges::any_of(name, [](char c) {
                        return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
                      });
  return is_bad ? kDefaultName : name;
}

/// The value of a parameter, unquoted; takes it from the front of `rest`.
std::string take_value(std::string_view& rest) {
  std::string value;
  if (!rest.starts_with('"')) {
    std::size_t const end = std::min(rest.find(';'), rest.size());
    value = trim(rest.substr(0, end));
    rest.remove_prefix(end);
    return value;
  }
  rest.remove_prefix(1);
  while (!rest.empty() && rest.front() != '"') {
    if (rest.front() == '\\' && rest.size() > 1) rest.remove_prefix(1);
    value += rest.front();
    rest.remove_prefix(1);
  }
  rest.remove_prefix(std::min(rest.find(';'), rest.size()));
  return value;
}

/// filename= or filename*= of a Content-Disposition (RFC 6266); empty when it has none.
std::string disposition_filename(std::string_view text) {
  std::string plain;
  std::string extended;
  std::string_view rest = text.substr(std::min(text.find(';'), text.size()));
  while (!rest.empty()) {
    rest.remove_prefix(1);  // the semicolon
    std::size_t const end = rest.find_first_of("=;");
    if (end == std::string_view::npos) break;
    std::string const name = lower(trim(rest.substr(0, end)));
    bool const has_value = rest[end] == '=';
    rest.remove_prefix(end + (has_value ? 1 : 0));
    if (!has_value) continue;
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    std::string value = take_value(rest);
    if (name == "filename") plain = std::move(value);
    if (name != "filename*") continue;
    // UTF-8'language'percent-encoded
    std::size_t const quote = value.find('\'');
    std::size_t const second = quote == std::string::npos ? quote : value.find('\'', quote + 1);
    if (second != std::string::npos) extended = registry::percent_decode(value.substr(second + 1));
  }
  return extended.empty() ? plain : extended;
}

void append_field(std::string& json, std::string_view name, std::string_view text) {
  json += (json.size() > 1 ? ",\"" : "\"") + std::string(name) + "\":";
  append_go_json_string(json, text);
}

void append_owner(std::string& json, const HttpRequest& request) {
  json += ",\"Perm\":" + std::to_string(request.perm) + ",\"UID\":" + std::to_string(request.uid) +
          ",\"GID\":" + std::to_string(request.gid);
}

void append_headers(std::string& json, const HttpRequest& request) {
  if (!request.auth_header_secret.empty()) {
    append_field(json, "AuthHeaderSecret", request.auth_header_secret);
  }
  if (request.headers.empty()) return;
  json += ",\"Header\":[";
  for (const HttpRequest::Field& field : request.headers) {
    std::string one = "{";
    append_field(one, "Name", field.name);
    append_field(one, "Value", field.value);
    json += (json.ends_with('[') ? "" : ",") + one + "}";
  }
  json += ']';
}

}  // namespace

HttpRequest parse_http_request(const pb::SourceOp& source) {
  HttpRequest request;
  request.url = source.identifier();
  for (const auto& [key, value] : source.attrs()) {
    if (key == "http.checksum") request.checksum = Digest::parse(value);
    if (key == "http.filename") request.filename = value;
    if (key == "http.perm") request.perm = parse_number(key, value) & 07777U;
    if (key == "http.uid") request.uid = parse_number(key, value);
    if (key == "http.gid") request.gid = parse_number(key, value);
    if (key == "http.authheadersecret") request.auth_header_secret = value;
    if (key.starts_with("http.sig.")) {
      throw Error(ErrorKind::kUnsupported,
                  "checking the signature of a download is not supported yet (" + key + ")");
    }
    if (!key.starts_with(kHeaderPrefix)) continue;
    std::string const name = lower(std::string_view(key).substr(kHeaderPrefix.size()));
    if (name == "accept") request.headers.push_back({"Accept", value});
    if (name == "user-agent") request.headers.push_back({"User-Agent", value});
  }
  std::ranges::sort(request.headers, {}, &HttpRequest::Field::name);
  return request;
}

std::string http_filename(const HttpRequest& request, std::string_view content_disposition) {
  if (!request.filename.empty()) return safe_name(request.filename);
  std::string const told = disposition_filename(content_disposition);
  if (!told.empty() && !told.ends_with('/')) return safe_name(told);
  auto const url = try_parse_any_url(request.url);
  return url ? safe_name(url->path) : kDefaultName;
}

std::string http_key(const HttpRequest& request, const std::string& filename, const Digest& content,
                     const std::string& last_modified) {
  std::string json = "{";
  append_field(json, "Filename", filename);
  append_owner(json, request);
  append_field(json, "Checksum", content.to_string());
  if (!last_modified.empty()) append_field(json, "LastModTime", last_modified);
  append_headers(json, request);
  json += '}';
  return Digest::of(json).to_string();
}

Digest http_request_digest(const HttpRequest& request) {
  std::string json = "{";
  append_field(json, "URL", request.url);
  append_field(json, "Filename", request.filename);
  append_owner(json, request);
  append_headers(json, request);
  json += '}';
  return Digest::of(json);
}

}  // namespace cobuild::ops
