#include "cli/options.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "core/base/error.hpp"
#include "core/base/go_csv.hpp"
#include "core/base/go_quote.hpp"

namespace cobuild::cli {
namespace {

[[noreturn]] void fail(const std::string& what) { throw Error(ErrorKind::kInvalidInput, what); }

std::string to_lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts(1);
  for (char const c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

/// As Go's strconv.ParseBool.
bool parse_raw(const std::string& text) {
  constexpr std::string_view kTrue[] = {"1", "t", "T", "true", "TRUE", "True"};
  constexpr std::string_view kFalse[] = {"0", "f", "F", "false", "FALSE", "False"};
  if (std::ranges::find(kTrue, text) != std::end(kTrue)) return true;
  if (std::ranges::find(kFalse, text) != std::end(kFalse)) return false;
  fail("invalid value for 'raw': " + text);
}

std::vector<std::string> secret_fields(const std::string& text) {
  try {
    return go_csv_fields(text);
  } catch (const Error& error) {
    throw error.with_context("failed to parse csv secret");
  }
}

}  // namespace

ops::SecretSource parse_secret(const std::string& text, const Surroundings& surroundings) {
  ops::SecretSource source;
  bool is_variable = false;
  for (const std::string& field : secret_fields(text)) {
    std::size_t const equals = field.find('=');
    if (equals == std::string::npos) fail("invalid field '" + field + "' must be a key=value pair");
    std::string const key = to_lower(field.substr(0, equals));
    std::string const value = field.substr(equals + 1);
    if (key == "type") {
      if (value != "file" && value != "env") fail("unsupported secret type " + go_quote(value));
      is_variable = value == "env";
    } else if (key == "id") {
      source.id = value;
    } else if (key == "source" || key == "src") {
      source.file = value;
    } else if (key == "env") {
      source.env = value;
    } else {
      fail("unexpected key '" + key + "' in '" + field + "'");
    }
  }
  if (source.id.empty()) fail("secret missing ID: --secret " + text);
  if (is_variable && source.env.empty()) {
    source.env = source.file.string();
    source.file.clear();
  }
  if (source.env.empty() && source.file.empty()) {
    if (surroundings.environment(source.id)) {
      source.env = source.id;
    } else {
      source.file = source.id;
    }
  }
  return source;
}

ops::SshSource parse_ssh(const std::string& text, const Surroundings& surroundings) {
  ops::SshSource source;
  std::size_t const equals = text.find('=');
  if (equals != 0 && !text.empty()) source.id = text.substr(0, equals);
  if (equals != std::string::npos) {
    for (const std::string& part : split(std::string_view(text).substr(equals + 1), ',')) {
      if (part.starts_with("raw=")) {
        source.raw = parse_raw(part.substr(4));
      } else {
        source.paths.emplace_back(part);
      }
    }
  }
  if (source.raw && source.paths.size() != 1) {
    fail("raw mode must supply exactly one socket path for " + go_quote(source.id));
  }
  if (source.paths.empty() || (source.paths.size() == 1 && source.paths[0].empty())) {
    source.paths = {surroundings.environment("SSH_AUTH_SOCK").value_or("")};
  }
  if (source.paths[0].empty()) fail("invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set");
  return source;
}

}  // namespace cobuild::cli
