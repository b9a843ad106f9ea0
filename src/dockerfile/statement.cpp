#include "dockerfile/statement.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include <algorithm>
#include <array>
#include <functional>
#include <map>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/rune.hpp"
#include "core/base/utf8.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr std::size_t kJsonDepth_max = 1000;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

/// Splits into words at blanks that are not quoted. Quotes and escapes stay: expansion removes them.
class QuotedWords {
 public:
  QuotedWords(std::string_view text, char escape)
      : text_(text), escape_(static_cast<unsigned char>(escape)) {}

  std::vector<std::string> read() {
    while (position_ < text_.size()) {
      char32_t const rune = take();
      if (is_space(rune)) {
        finish();
      } else {
        read_word_part(rune);
      }
    }
    finish();
    return std::move(words_);
  }

 private:
  char32_t take() {
    Rune const rune = decode_rune(text_.substr(position_));
    taken_ = text_.substr(position_, rune.size);
    position_ += rune.size;
    return rune.value;
  }
  void keep() { word_ += taken_; }

  void read_word_part(char32_t rune) {
    if (rune == U'\'' || rune == U'"') {
      has_quotes_ = true;
      keep();
      read_quoted(rune);
      return;
    }
    if (rune == escape_) {
      if (position_ == text_.size()) return;  // An escape at the end is dropped.
      keep();
      take();
    }
    keep();
  }

  void read_quoted(char32_t quote) {
    while (position_ < text_.size()) {
      char32_t const rune = take();
      if (rune == escape_ && quote != U'\'') {
        if (position_ == text_.size()) return;
        keep();
        take();
        keep();
        continue;
      }
      keep();
      if (rune == quote) return;
    }
  }

  void finish() {
    if (has_quotes_ || !word_.empty()) words_.push_back(std::move(word_));
    word_.clear();
    has_quotes_ = false;
  }

  std::string_view text_;
  char32_t escape_;
  std::size_t position_ = 0;
  std::string_view taken_;
  std::string word_;
  bool has_quotes_ = false;
  std::vector<std::string> words_;
};

bool is_byte_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// Takes the flags off the front of `text`; returns the rest (F1.1.19).
std::string_view take_flags(std::string_view text, char escape, std::vector<std::string>& flags) {
  std::size_t position = 0;
  for (;;) {
    while (position < text.size() && is_byte_space(text[position])) ++position;
    if (!text.substr(position).starts_with("--")) return text.substr(position);
    std::string word;
    bool has_quotes = false;
    char quote = '\0';
    for (; position < text.size() && (quote != '\0' || !is_byte_space(text[position])); ++position) {
      char const c = text[position];
      if (quote != '\0' ? c == quote : c == '\'' || c == '"') {
        quote = quote != '\0' ? '\0' : c;
        has_quotes = true;
      } else if (c == escape) {
        if (++position == text.size()) break;
        word += text[position];
      } else {
        word += c;
      }
    }
    if (word == "--") return text.substr(position);
    if (has_quotes || !word.empty()) flags.push_back(std::move(word));
  }
}

/// The strings of a JSON list; nullopt when `text` is no JSON list.
/// \throws Error kInvalidInput when it is one, and not of strings.
std::optional<std::vector<std::string>> try_parse_json_list(std::string_view text) {
  text = trim_space_left(text);
  if (!text.starts_with('[')) return std::nullopt;
  boost::json::parse_options options;
  options.max_depth = kJsonDepth_max;
  options.allow_invalid_utf8 = true;
  boost::system::error_code error;
  auto const json = boost::json::parse(text, error, {}, options);
  if (error || !json.is_array()) return std::nullopt;
  std::vector<std::string> out;
  for (const auto& item : json.as_array()) {
    if (!item.is_string()) {
      fail("when using JSON array syntax, arrays must be comprised of strings only");
    }
    out.push_back(to_valid_utf8(std::string_view(item.as_string())));
  }
  return out;
}

void parse_json_or_text(Statement& statement, std::string_view rest) {
  if (rest.empty()) return;
  if (auto list = try_parse_json_list(rest)) {
    statement.json = true;
    statement.args.insert(statement.args.end(), list->begin(), list->end());
  } else {
    statement.args.emplace_back(rest);
  }
}

void parse_words(Statement& statement, std::string_view rest) {
  if (!rest.empty()) statement.args = split_blanks(rest);
}

void parse_json_or_words(Statement& statement, std::string_view rest) {
  if (auto list = try_parse_json_list(rest)) {
    statement.json = true;
    statement.args = *std::move(list);
  } else {
    parse_words(statement, rest);
  }
}

void parse_pairs(Statement& statement, std::string_view rest, const std::string& name, char escape) {
  auto const words = QuotedWords(rest, escape).read();
  if (words.empty()) return;
  if (words[0].find('=') == std::string::npos) {
    auto const [key, value] = cut_blanks(rest);
    if (!value) fail(name + " must have two arguments");
    statement.args = {std::string(key), std::string(*value), ""};
    return;
  }
  for (const std::string& word : words) {
    auto const [key, value] = cut(word, '=');
    if (!value) {
      fail("Syntax error - can't find = in " + go_quote(word) + ". Must be of the form: name=value");
    }
    statement.args.emplace_back(key);
    statement.args.emplace_back(*value);
    statement.args.emplace_back("=");
  }
}

void parse_health(Statement& statement, std::string_view rest) {
  std::size_t end = 0;
  while (end < rest.size() && !is_byte_space(rest[end])) ++end;
  if (end == 0) return;
  statement.args.emplace_back(rest.substr(0, end));
  while (end < rest.size() && is_byte_space(rest[end])) ++end;
  parse_json_or_text(statement, rest.substr(end));
}

void parse_trigger(Statement& statement, std::string_view rest, char escape) {
  if (rest.empty()) return;
  // An ONBUILD in an ONBUILD is refused later; reading it here would recurse without bound.
  auto const keyword = cut_blanks(rest).first;
  statement.args.emplace_back(keyword);
  if (equals_ignoring_case(keyword, "onbuild")) return;
  statement.json = parse_statement(rest, escape).json;
}

void parse_args(Statement& statement, std::string_view rest, char escape) {
  static const std::map<std::string, std::function<void(Statement&, std::string_view, char)>, std::less<>>
      kParsers = [] {
        auto const json_or_words = [](Statement& s, std::string_view r, char) { parse_json_or_words(s, r); };
        auto const json_or_text = [](Statement& s, std::string_view r, char) { parse_json_or_text(s, r); };
        auto const words = [](Statement& s, std::string_view r, char) { parse_words(s, r); };
        auto const text = [](Statement& s, std::string_view r, char) {
          if (!r.empty()) s.args.emplace_back(r);
        };
        std::map<std::string, std::function<void(Statement&, std::string_view, char)>, std::less<>> table;
        for (const char* name : {"add", "copy", "volume"}) table[name] = json_or_words;
        for (const char* name : {"cmd", "entrypoint", "run", "shell"}) table[name] = json_or_text;
        for (const char* name : {"expose", "from"}) table[name] = words;
        for (const char* name : {"maintainer", "stopsignal", "user", "workdir"}) table[name] = text;
        table["arg"] = [](Statement& s, std::string_view r, char e) { s.args = QuotedWords(r, e).read(); };
        table["env"] = [](Statement& s, std::string_view r, char e) { parse_pairs(s, r, "ENV", e); };
        table["label"] = [](Statement& s, std::string_view r, char e) { parse_pairs(s, r, "LABEL", e); };
        table["healthcheck"] = [](Statement& s, std::string_view r, char) { parse_health(s, r); };
        table["onbuild"] = parse_trigger;
        return table;
      }();
  auto const parser = kParsers.find(to_lower(statement.keyword));
  if (parser != kParsers.end()) parser->second(statement, rest, escape);
}

bool may_have_heredocs(const Statement& statement) {
  std::string keyword = to_lower(statement.keyword);
  if (keyword == "onbuild" && !statement.args.empty()) keyword = to_lower(statement.args[0]);
  return !statement.json && (keyword == "run" || keyword == "copy" || keyword == "add");
}

/// Whether an instruction ends in the config, where BuildKit has U+FFFD for what is no UTF-8.
bool is_only_text(const std::string& keyword) {
  constexpr std::array<std::string_view, 7> kKeywords{"arg",         "cmd",   "entrypoint", "env",
                                                      "healthcheck", "label", "maintainer"};
  return std::ranges::any_of(
      kKeywords, [&](std::string_view one) { return equals_ignoring_case(keyword, one); });
}

}  // namespace

Statement parse_statement(std::string_view line, char escape) {
  Statement statement;
  std::string const keyword_only(cut_blanks(trim_space(line)).first);
  statement.original = is_only_text(keyword_only) ? to_valid_utf8(line) : std::string(line);
  auto const [keyword, rest] = cut_blanks(trim_space(statement.original));
  statement.keyword = keyword;
  std::string_view args;
  if (rest) args = trim_space(take_flags(*rest, escape, statement.flags));
  parse_args(statement, args, escape);
  return statement;
}

bool has_heredocs(const Statement& statement) {
  return may_have_heredocs(statement) && statement.original.find("<<") != std::string::npos;
}

}  // namespace cobuild::dockerfile
