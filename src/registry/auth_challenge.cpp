#include "registry/auth_challenge.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

namespace cobuild::registry {
namespace {

constexpr std::size_t kParametersMax = 64;

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool is_token(char c) {
  auto const byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte < 0x7f &&
         std::string_view("\"(),/:;<=>?@[]\\{}").find(c) == std::string_view::npos;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

/// Reads one header from its front.
class Scanner {
 public:
  explicit Scanner(std::string_view rest) : rest_(rest) {}

  [[nodiscard]] bool done() const { return rest_.empty(); }

  void skip_space() {
    while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
  }

  bool take(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }

  std::string_view token() {
    std::size_t end = 0;
    while (end < rest_.size() && is_token(rest_[end])) ++end;
    auto const found = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return found;
  }

  /// A token, or a quoted string without its quotes; nullopt for one that never ends.
  std::optional<std::string> value() {
    if (!take('"')) return std::string(token());
    std::string text;
    while (!rest_.empty()) {
      char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return text;
      if (c == '\\') {
        if (rest_.empty()) return std::nullopt;
        c = rest_.front();
        rest_.remove_prefix(1);
      }
      text += c;
    }
    return std::nullopt;
  }

 private:
  std::string_view rest_;
};

void parse_header(std::string_view header, std::vector<AuthChallenge>& found) {
  Scanner scanner(header);
  std::optional<AuthChallenge> current;
  auto flush = [&] {
    if (current) found.push_back(std::move(*current));
    current.reset();
  };
  while (true) {
    scanner.skip_space();
    while (scanner.take(',')) scanner.skip_space();
    std::string_view const name = scanner.token();
    if (name.empty()) break;
    if (scanner.take('=')) {  // a parameter of the current challenge
      auto value = scanner.value();
      if (!value) break;
      if (current && current->parameters.size() < kParametersMax) {
        current->parameters[lower(name)] = std::move(*value);
      }
      continue;
    }
    flush();
    std::string const scheme = lower(name);
    if (scheme == "bearer") current = AuthChallenge{AuthScheme::kBearer, {}};
    if (scheme == "basic") current = AuthChallenge{AuthScheme::kBasic, {}};
  }
  flush();
}

}  // namespace

std::string AuthChallenge::parameter(const std::string& name) const {
  auto found = parameters.find(name);
  return found == parameters.end() ? std::string() : found->second;
}

std::vector<AuthChallenge> parse_challenges(const std::vector<std::string>& headers) {
  std::vector<AuthChallenge> bearer;
  std::vector<AuthChallenge> basic;
  for (const std::string& header : headers) {
    std::vector<AuthChallenge> found;
    parse_header(header, found);
    for (AuthChallenge& challenge : found) {
      auto& of_scheme = challenge.scheme == AuthScheme::kBearer ? bearer : basic;
      of_scheme.push_back(std::move(challenge));
    }
  }
  bearer.insert(bearer.end(), std::make_move_iterator(basic.begin()),
                std::make_move_iterator(basic.end()));
  return bearer;
}

std::vector<std::string> merge_scopes(std::vector<std::string> scopes) {
  std::map<std::string, std::set<std::string>> actions_by_resource;
  std::set<std::string> others;
  for (const std::string& scope : scopes) {
    auto const first = scope.find(':');
    auto const last = scope.rfind(':');
    if (first == std::string::npos || first == last) {
      if (!scope.empty()) others.insert(scope);
      continue;
    }
    auto& actions = actions_by_resource[scope.substr(0, last)];
    std::string_view rest = std::string_view(scope).substr(last + 1);
    while (!rest.empty()) {
      auto const comma = std::min(rest.find(','), rest.size());
      if (comma > 0) actions.emplace(rest.substr(0, comma));
      rest.remove_prefix(std::min(comma + 1, rest.size()));
    }
  }
  std::vector<std::string> merged(others.begin(), others.end());
  for (const auto& [resource, actions] : actions_by_resource) {
    std::string text = resource + ":";
    for (const std::string& action : actions) text += (text.back() == ':' ? "" : ",") + action;
    merged.push_back(std::move(text));
  }
  std::ranges::sort(merged);
  return merged;
}

}  // namespace cobuild::registry
