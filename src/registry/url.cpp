#include "registry/url.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"

namespace cobuild::registry {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string_view default_port(std::string_view scheme) {
  return scheme == "https" ? "443" : "80";
}

bool is_port(std::string_view text) {
  unsigned port = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65535;
}

/// Control characters and blanks would end a request line early.
bool is_clean(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    auto const byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7f;
  });
}

/// Removes "." and ".." from the path of a target (RFC 3986, 5.2.4).
std::string without_dots(std::string_view target) {
  auto const query = target.find('?');
  std::string_view path = target.substr(0, query);
  std::vector<std::string_view> parts;
  bool ends_with_slash = false;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    auto const end = std::min(path.find('/'), path.size());
    std::string_view const part = path.substr(0, end);
    path.remove_prefix(end);
    ends_with_slash = path.empty() && (part.empty() || part == "." || part == "..");
    if (part == "..") {
      if (!parts.empty()) parts.pop_back();
    } else if (part != "." && !(part.empty() && path.empty())) {
      parts.push_back(part);
    }
  }
  std::string result;
  for (std::string_view part : parts) result.append("/").append(part);
  if (result.empty() || ends_with_slash) result += '/';
  if (query != std::string_view::npos) result += target.substr(query);
  return result;
}

Error invalid(std::string_view text) {
  return Error(ErrorKind::kInvalidInput, "invalid URL " + go_quote(text));
}

}  // namespace

Url Url::of(std::string_view scheme, std::string_view authority, std::string_view target) {
  Url url;
  url.scheme = lower(scheme);
  url.target = target.starts_with('/') ? std::string(target) : "/" + std::string(target);
  if (auto fragment = url.target.find('#'); fragment != std::string::npos) {
    url.target.resize(fragment);
  }
  std::string_view host = authority;
  std::string_view port = default_port(url.scheme);
  if (host.starts_with('[')) {
    auto const close = host.find(']');
    if (close == std::string_view::npos) throw invalid(authority);
    if (std::string_view const rest = host.substr(close + 1); !rest.empty()) {
      if (rest.front() != ':') throw invalid(authority);
      port = rest.substr(1);
    }
    host = host.substr(1, close - 1);
  } else if (auto colon = host.rfind(':'); colon != std::string_view::npos) {
    port = host.substr(colon + 1);
    host = host.substr(0, colon);
  }
  if (host.empty() || !is_port(port) || !is_clean(host) || !is_clean(url.target) ||
      host.find_first_of("/?#@\\") != std::string_view::npos) {
    throw invalid(authority);
  }
  url.host = lower(host);
  url.port = port;
  return url;
}

Url Url::parse(std::string_view text) {
  auto const colon = text.find("://");
  if (colon == std::string_view::npos) throw invalid(text);
  std::string const scheme = lower(text.substr(0, colon));
  if (scheme != "http" && scheme != "https") throw invalid(text.substr(0, colon));
  std::string_view rest = text.substr(colon + 3);
  auto const end = std::min(rest.find_first_of("/?#"), rest.size());
  std::string_view authority = rest.substr(0, end);
  if (auto at = authority.rfind('@'); at != std::string_view::npos) authority.remove_prefix(at + 1);
  return of(scheme, authority, rest.substr(end));
}

Url Url::resolve(std::string_view location) const {
  if (location.find("://") != std::string_view::npos &&
      location.find("://") < std::min(location.find_first_of("/?#"), location.size())) {
    return parse(location);
  }
  if (location.starts_with("//")) return parse(scheme + ":" + std::string(location));
  Url url = *this;
  std::string target_text;
  if (location.starts_with('/')) {
    target_text = location;
  } else if (location.starts_with('?')) {
    target_text = target.substr(0, target.find('?')) + std::string(location);
  } else {
    std::string const path = target.substr(0, target.find('?'));
    target_text = path.substr(0, path.rfind('/') + 1) + std::string(location);
  }
  target_text.resize(std::min(target_text.find('#'), target_text.size()));
  if (!is_clean(target_text)) throw invalid(location);
  url.target = without_dots(target_text);
  return url;
}

std::string Url::authority() const {
  std::string text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != default_port(scheme)) text += ":" + port;
  return text;
}

std::string Url::to_string() const {
  return scheme + "://" + authority() + target;
}

std::string Url::to_display() const {
  return scheme + "://" + authority() + target.substr(0, target.find('?'));
}

bool Url::same_origin(const Url& other) const noexcept {
  return scheme == other.scheme && host == other.host && port == other.port;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    bool const plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-_.~").find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      auto const byte = static_cast<unsigned char>(c);
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size()) {
      auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
      if (error == std::errc() && end == text.data() + i + 3) {
        out += static_cast<char>(value);
        i += 2;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

bool is_localhost(std::string_view authority) {
  std::string host(authority);
  if (host.starts_with('[')) {
    host = host.substr(1, host.find(']') - 1);
  } else if (auto colon = host.rfind(':'); colon != std::string::npos && host.find(':') == colon) {
    host.resize(colon);
  }
  if (host == "localhost" || host == "::1") return true;
  if (!host.starts_with("127.")) return false;
  return std::ranges::all_of(host, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

}  // namespace cobuild::registry
