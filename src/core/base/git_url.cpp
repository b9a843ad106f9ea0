#include "core/base/git_url.hpp"

#include <algorithm>
#include <array>

#include "core/base/go_path.hpp"

namespace cobuild {
namespace {

constexpr std::string_view kMask = "xxxxx";

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// "%2f" becomes "/"; nullopt for a malformed escape.
std::optional<std::string> unescape(std::string_view text, bool plus_is_blank = false) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_blank) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      int const high = hex_value(text[i + 1]);
      int const low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

/// Escapes all but letters, digits, "-_.~" and what is in `kept`.
std::string escape(std::string_view text, std::string_view kept) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (char const c : text) {
    if (is_letter(c) || is_digit(c) || is_one_of(c, "-_.~") || is_one_of(c, kept)) {
      out += c;
      continue;
    }
    auto const byte = static_cast<unsigned char>(c);
    out += '%';
    out += kHex[byte >> 4U];
    out += kHex[byte & 15U];
  }
  return out;
}

constexpr std::string_view kPathKept = "$&+,/:;=@";

/// The path as it is written where that is a valid one, else escaped anew.
std::string escaped_path(std::string_view written, const std::string& decoded) {
  auto const is_valid = [](char c) {
    return is_letter(c) || is_digit(c) || is_one_of(c, "-_.~%!$&'()*+,;=:@[]/");
  };
  if (std::ranges::all_of(written, is_valid)) return std::string(written);
  return escape(decoded, kPathKept);
}

bool is_userinfo(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return is_letter(c) || is_digit(c) || is_one_of(c, "-._:~!$&'()*+,;=%@");
  });
}

/// "host", "host:80", "[::1]:80".
bool is_host(std::string_view text) {
  std::string_view port;
  if (text.starts_with('[')) {
    std::size_t const close = text.rfind(']');
    if (close == std::string_view::npos) return false;
    port = text.substr(close + 1);
    if (!port.empty() && port[0] != ':') return false;
  } else if (std::size_t const colon = text.rfind(':'); colon != std::string_view::npos) {
    port = text.substr(colon);
  }
  if (!port.empty()) port.remove_prefix(1);
  if (!std::ranges::all_of(port, is_digit)) return false;
  return std::ranges::none_of(text, [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || is_one_of(c, "\"<>\\^`{|}%");
  });
}

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view text) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!text.empty()) {
    std::size_t const end = std::min(text.find('&'), text.size());
    std::string_view const pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty() || pair.find(';') != std::string_view::npos) continue;
    std::size_t const equals = std::min(pair.find('='), pair.size());
    auto key = unescape(pair.substr(0, equals), true);
    auto value = unescape(pair.substr(std::min(equals + 1, pair.size())), true);
    if (key && value) out.emplace_back(*std::move(key), *std::move(value));
  }
  return out;
}

/// "ref:subdir".
void read_fragment(std::string_view fragment, GitUrl& url) {
  std::size_t const colon = std::min(fragment.find(':'), fragment.size());
  url.ref = fragment.substr(0, colon);
  url.subdir = go_path::join("/", fragment.substr(std::min(colon + 1, fragment.size())));
  url.subdir.erase(0, 1);
}

/// "user:password@host", up to the path. False when it is malformed.
bool read_authority(std::string_view authority, GitUrl& url) {
  if (std::size_t const at = authority.rfind('@'); at != std::string_view::npos) {
    std::string_view const userinfo = authority.substr(0, at);
    authority.remove_prefix(at + 1);
    if (!is_userinfo(userinfo)) return false;
    std::size_t const colon = std::min(userinfo.find(':'), userinfo.size());
    auto user = unescape(userinfo.substr(0, colon));
    auto password = unescape(userinfo.substr(std::min(colon + 1, userinfo.size())));
    if (!user || !password) return false;
    url.user = *std::move(user);
    url.password = *std::move(password);
    constexpr std::string_view kKept = ";&+$,=";
    url.remote += escape(url.user, kKept);
    if (colon < userinfo.size()) url.remote += ":" + escape(url.password, kKept);
    url.remote += '@';
  }
  if (!is_host(authority)) return false;
  url.host = authority;
  url.remote += authority;
  return true;
}

/// Where the "://" of a URL is; nullopt when there is none.
std::optional<std::size_t> scheme_end(std::string_view text) {
  std::size_t const end = text.find("://");
  if (end == std::string_view::npos || end == 0) return std::nullopt;
  if (!std::ranges::all_of(text.substr(0, end), [](char c) { return is_letter(c) || is_digit(c); })) {
    return std::nullopt;
  }
  return end;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool is_git_scheme(std::string_view scheme) {
  constexpr std::array<std::string_view, 4> kSchemes = {"http", "https", "ssh", "git"};
  return std::ranges::find(kSchemes, scheme) != kSchemes.end();
}

/// user@host:path?query#fragment.
std::optional<GitUrl> parse_scp(std::string_view text) {
  std::size_t const at = text.find('@');
  if (at == std::string_view::npos || at == 0) return std::nullopt;
  std::size_t const colon = text.find(':', at);
  if (colon == std::string_view::npos || colon == at + 1) return std::nullopt;
  std::string_view const user = text.substr(0, at);
  std::string_view const host = text.substr(at + 1, colon - at - 1);
  auto const is_name = [](std::string_view name, std::string_view others) {
    return std::ranges::all_of(
        name, [others](char c) { return is_letter(c) || is_digit(c) || is_one_of(c, others); });
  };
  if (!is_name(user, "-_") || !is_name(host, "-.") || text.find('\n') != std::string_view::npos) {
    return std::nullopt;
  }
  if (user.starts_with('-') || host.starts_with('-')) return std::nullopt;  // an option of git's or ssh's
  GitUrl url;
  url.scheme = "ssh";
  url.user = user;
  url.host = host;
  std::string_view rest = text.substr(colon + 1);
  std::size_t const end = std::min(rest.find_first_of("?#"), rest.size());
  url.path = rest.substr(0, end);
  url.remote = text.substr(0, colon + 1 + end);
  rest.remove_prefix(end);
  std::size_t const hash = std::min(rest.find('#'), rest.size());
  if (hash > 0) url.query = parse_query(rest.substr(1, hash - 1));
  if (hash + 1 < rest.size()) read_fragment(rest.substr(hash + 1), url);
  return url;
}

}  // namespace

std::optional<GitUrl> try_parse_any_url(std::string_view text) {
  auto const end = scheme_end(text);
  if (!end || !is_letter(text[0])) return std::nullopt;
  auto const is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; };
  if (std::ranges::any_of(text, is_control)) return std::nullopt;
  GitUrl url;
  url.scheme = lower(text.substr(0, *end));
  url.remote = url.scheme + "://";
  std::string_view rest = text.substr(*end + 3);
  if (std::size_t const hash = rest.find('#'); hash != std::string_view::npos) {
    auto const fragment = unescape(rest.substr(hash + 1));
    if (!fragment) return std::nullopt;
    if (!fragment->empty()) read_fragment(*fragment, url);
    rest = rest.substr(0, hash);
  }
  if (std::size_t const question = rest.find('?'); question != std::string_view::npos) {
    url.query = parse_query(rest.substr(question + 1));
    rest = rest.substr(0, question);
  }
  std::size_t const slash = std::min(rest.find('/'), rest.size());
  if (!read_authority(rest.substr(0, slash), url)) return std::nullopt;
  auto path = unescape(rest.substr(slash));
  if (!path) return std::nullopt;
  url.remote += escaped_path(rest.substr(slash), *path);
  url.path = *std::move(path);
  return url;
}

std::optional<GitUrl> try_parse_git_url(std::string_view text) {
  auto const end = scheme_end(text);
  if (!end) return parse_scp(text);
  if (!is_git_scheme(lower(text.substr(0, *end)))) return std::nullopt;
  return try_parse_any_url(text);
}

bool is_git_transport(std::string_view text) {
  if (auto const end = scheme_end(text)) return is_git_scheme(lower(text.substr(0, *end)));
  return parse_scp(text).has_value();
}

bool is_commit_id(std::string_view text) noexcept {
  if (text.size() != 40 && text.size() != 64) return false;
  return std::ranges::all_of(text, [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); });
}

std::string redact_credentials(std::string_view url) {
  std::size_t const scheme = url.find("://");
  if (scheme == std::string_view::npos) return std::string(url);
  std::size_t const begin = scheme + 3;
  std::size_t const end = std::min(url.find_first_of("/?#", begin), url.size());
  std::size_t const at = url.substr(0, end).rfind('@');
  if (at == std::string_view::npos || at < begin) return std::string(url);
  std::string_view const userinfo = url.substr(begin, at - begin);
  std::string masked(userinfo.empty() ? "" : kMask);
  if (userinfo.find(':') != std::string_view::npos) masked += ":" + std::string(kMask);
  return std::string(url.substr(0, begin)) + masked + std::string(url.substr(at));
}

}  // namespace cobuild
