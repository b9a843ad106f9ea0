#include "dockerfile/shell_words.hpp"

#include <optional>

#include "core/base/error.hpp"
#include "core/base/go_quote.hpp"
#include "core/base/rune.hpp"
#include "core/base/utf8.hpp"
#include "dockerfile/shell_pattern.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr char32_t kEnd = 0xFFFFFFFF;

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

/// Collects words as the characters come.
class WordSplitter {
 public:
  void add(char32_t rune) {
    if (!is_space(rune)) {
      add_raw(rune);
    } else if (!word_.empty()) {
      words_.push_back(std::move(word_));
      word_.clear();
    }
  }
  void add(std::string_view text) {
    while (!text.empty()) {
      Rune const rune = decode_rune(text);
      add(rune.value);
      text.remove_prefix(rune.size);
    }
  }
  void add_raw(char32_t rune) { append_utf8(word_, rune); }
  void add_raw(std::string_view text) { word_ += text; }

  std::vector<std::string> take() {
    if (!word_.empty()) words_.push_back(std::move(word_));
    return std::move(words_);
  }

 private:
  std::string word_;
  std::vector<std::string> words_;
};

bool is_special_parameter(char32_t rune) {
  return rune < 0x80 && std::string_view("@*#?-$!0").find(static_cast<char>(rune)) != std::string_view::npos;
}

class Expander {
 public:
  Expander(std::string_view text, const EnvList& env, const WordOptions& options)
      : text_(text), env_(env), options_(options), raw_escapes_(options.raw_escapes) {}

  ExpandedWord run() {
    ExpandedWord out;
    WordSplitter words;
    out.text = until(kEnd, raw_escapes_, &words);
    out.words = words.take();
    out.matched = std::move(matched_);
    out.unmatched = std::move(unmatched_);
    return out;
  }

 private:
  [[nodiscard]] char32_t peek() const {
    return position_ == text_.size() ? kEnd : decode_rune(text_.substr(position_)).value;
  }
  char32_t next() {
    if (position_ == text_.size()) return kEnd;
    Rune const rune = decode_rune(text_.substr(position_));
    position_ += rune.size;
    return rune.value;
  }
  [[nodiscard]] bool at_end() const { return position_ == text_.size(); }
  [[nodiscard]] char32_t escape() const {
    return static_cast<unsigned char>(options_.escape);
  }

  /// Up to and without `stop`, which is consumed. `words` may be null.
  std::string until(char32_t stop, bool raw_escapes, WordSplitter* words) {
    if (++depth_ > kSubstitutionDepth_max) fail("syntax error: substitutions are nested too deeply");
    bool const outer_raw_escapes = std::exchange(raw_escapes_, raw_escapes);
    std::string result;
    WordSplitter unused;
    WordSplitter& split = words != nullptr ? *words : unused;
    bool stopped = false;
    while (!stopped && !at_end()) {
      char32_t const rune = peek();
      if (rune == stop) {
        next();
        stopped = true;
      } else {
        element(rune, result, split);
      }
      if (result.size() > kExpandedBytes_max) fail("the expanded text is too long");
    }
    if (!stopped && stop != kEnd) {
      std::string name;
      append_utf8(name, stop);
      fail("unexpected end of statement while looking for matching " + name);
    }
    raw_escapes_ = outer_raw_escapes;
    --depth_;
    return result;
  }

  void element(char32_t rune, std::string& result, WordSplitter& words) {
    if (rune == U'$') {
      std::string const value = dollar();
      result += value;
      words.add(value);
    } else if (rune == U'<') {
      std::string const text = possible_heredoc();
      result += text;
      words.add_raw(text);
    } else if (!options_.skip_quotes && (rune == U'\'' || rune == U'"')) {
      std::string const text = rune == U'"' ? double_quoted() : single_quoted();
      result += text;
      words.add_raw(text);
    } else {
      plain(result, words);
    }
  }

  void plain(std::string& result, WordSplitter& words) {
    char32_t rune = next();
    if (rune != escape()) {
      words.add(rune);
      append_utf8(result, rune);
      return;
    }
    if (raw_escapes_) {
      words.add_raw(rune);
      append_utf8(result, rune);
    }
    rune = next();
    if (rune == kEnd) return;  // An escape at the end is dropped.
    words.add_raw(rune);
    append_utf8(result, rune);
  }

  std::string single_quoted() {
    next();
    std::string result = options_.raw_quotes ? "'" : "";
    for (;;) {
      char32_t const rune = next();
      if (rune == kEnd) fail("unexpected end of statement while looking for matching single-quote");
      if (rune == U'\'') return options_.raw_quotes ? result + "'" : result;
      append_utf8(result, rune);
    }
  }

  std::string double_quoted() {
    next();
    std::string result = options_.raw_quotes ? "\"" : "";
    for (;;) {
      char32_t rune = peek();
      if (rune == kEnd) fail("unexpected end of statement while looking for matching double-quote");
      if (rune == U'"') {
        next();
        return options_.raw_quotes ? result + "\"" : result;
      }
      if (rune == U'$') {
        result += dollar();
        continue;
      }
      next();
      if (rune == escape()) {
        if (raw_escapes_) append_utf8(result, rune);
        char32_t const escaped = peek();
        if (escaped == kEnd) continue;
        // Only these can be escaped between double quotes.
        if (escaped == U'"' || escaped == U'$' || escaped == escape()) rune = next();
      }
      append_utf8(result, rune);
    }
  }

  /// "<<" takes blanks after it along, so that "<< EOF" is one word.
  std::string possible_heredoc() {
    next();
    if (peek() != U'<') return "<";
    next();
    std::string result = "<<";
    while (peek() == U'\t' || peek() == U'\r' || peek() == U' ') append_utf8(result, next());
    return result;
  }

  std::string dollar() {
    next();
    if (peek() != U'{') {
      std::string const name = read_name();
      if (name.empty()) return "$";
      const std::string* value = look_up(name);
      if (value == nullptr && options_.skip_unset) return "$" + name;
      return value != nullptr ? *value : "";
    }
    next();
    if (at_end()) fail("syntax error: missing '}'");
    if (peek() == U'{' || peek() == U'}' || peek() == U':') fail("syntax error: bad substitution");
    std::string const name = read_name();
    return braces(name);
  }

  /// What follows the name in ${name…}.
  std::string braces(const std::string& name) {
    char32_t modifier = next();
    if (modifier == kEnd) fail("syntax error: missing '}'");
    if (modifier == U'}') {
      const std::string* value = look_up(name);
      if (value == nullptr && options_.skip_unset) return "${" + name + "}";
      return value != nullptr ? *value : "";
    }
    if (modifier == U'/') return replaced(name);
    std::string written;
    append_utf8(written, modifier);
    bool const null_is_unset = modifier == U':';
    if (null_is_unset) {
      modifier = next();
      if (modifier == kEnd) fail("syntax error: missing '}'");
      append_utf8(written, modifier);
    }
    bool const is_trim = modifier == U'#' || modifier == U'%';
    if (is_trim ? null_is_unset : (modifier != U'+' && modifier != U'-' && modifier != U'?')) {
      fail("unsupported modifier (" + written + ") in substitution");
    }
    std::string const word = operand(U'}', is_trim, "syntax error: missing '}'");
    const std::string* value = look_up(name);
    if (value == nullptr && options_.skip_unset) return "${" + name + written + word + "}";
    if (is_trim) return trimmed(modifier, word, value != nullptr ? *value : "");
    return chosen(modifier, null_is_unset, name, word, value);
  }

  /// `${name-word}` and its kin.
  static std::string chosen(char32_t modifier, bool null_is_unset, const std::string& name,
                            const std::string& word, const std::string* value) {
    bool const missing = value == nullptr || (null_is_unset && value->empty());
    if (modifier == U'+') return missing ? "" : word;
    if (!missing) return *value;
    if (modifier == U'-') return word;
    std::string const state = value == nullptr ? "unset" : "empty";
    fail(name + ": " + (word.empty() ? "is not allowed to be " + state : word));
  }

  static std::string trimmed(char32_t modifier, std::string word, const std::string& value) {
    auto length = ShellPattern::Length::kShortest;
    if (!word.empty() && static_cast<unsigned char>(word[0]) == modifier) {
      length = ShellPattern::Length::kLongest;
      word.erase(0, 1);
    }
    ShellPattern const pattern = compile(word);
    return modifier == U'#' ? pattern.without_prefix(value, length)
                            : pattern.without_suffix(value, length);
  }

  std::string replaced(const std::string& name) {
    bool const all = peek() == U'/';
    if (all) next();
    std::string const pattern = operand(U'/', true, "syntax error: missing '/' in ${}");
    std::string const replacement = operand(U'}', true, "syntax error: missing '}'");
    const std::string* value = look_up(name);
    if (value == nullptr && options_.skip_unset) {
      return "${" + name + "/" + pattern + "/" + replacement + "}";
    }
    std::string const text = value != nullptr ? *value : "";
    ShellPattern const compiled = compile(pattern);
    return all ? compiled.replace_all(text, replacement) : compiled.replace_first(text, replacement);
  }

  static ShellPattern compile(const std::string& pattern) {
    try {
      return ShellPattern(pattern);
    } catch (const Error& error) {
      fail("invalid pattern (" + pattern + ") in substitution: " + error.what());
    }
  }

  /// Text up to `stop`; when the whole text ends before it, the error is `missing`.
  std::string operand(char32_t stop, bool raw_escapes, const char* missing) {
    try {
      return until(stop, raw_escapes, nullptr);
    } catch (const Error&) {
      if (at_end()) fail(missing);
      throw;
    }
  }

  std::string read_name() {
    std::string name;
    if (is_digit(peek_or_zero())) {
      while (is_digit(peek_or_zero())) append_utf8(name, next());
      return name;
    }
    if (is_special_parameter(peek_or_zero())) {
      append_utf8(name, next());
      return name;
    }
    for (char32_t rune = peek_or_zero(); is_letter(rune) || is_digit(rune) || rune == U'_';
         rune = peek_or_zero()) {
      append_utf8(name, next());
    }
    return name;
  }
  [[nodiscard]] char32_t peek_or_zero() const { return at_end() ? U'\n' : peek(); }

  const std::string* look_up(const std::string& name) {
    const std::string* value = env_.find(name);
    (value != nullptr ? matched_ : unmatched_).insert(name);
    return value;
  }

  std::string_view text_;
  std::size_t position_ = 0;
  const EnvList& env_;
  const WordOptions& options_;
  bool raw_escapes_;
  int depth_ = 0;
  std::set<std::string> matched_;
  std::set<std::string> unmatched_;
};

}  // namespace

ExpandedWord expand_word(std::string_view word, const EnvList& env, const WordOptions& options) {
  try {
    return Expander(word, env, options).run();
  } catch (const Error& error) {
    throw error.with_context("failed to process " + go_quote(word));
  }
}

}  // namespace cobuild::dockerfile
