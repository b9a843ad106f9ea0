#include "core/base/path_pattern.hpp"

#include <algorithm>

#include "core/base/error.hpp"
#include "core/base/go_path.hpp"
#include "core/base/rune.hpp"

namespace cobuild {
namespace {

constexpr char32_t kBadRune = U'\uFFFD';

/// One element of a pattern.
struct Element {
  enum class Kind {
    kLiteral,        ///< Exactly `value`.
    kAnyButSlash,    ///< `?`
    kStar,           ///< `*`: any run without "/".
    kClass,          ///< `[…]`
    kDirectories,    ///< `**` before something: nothing, or anything that ends in "/".
    kAnything,       ///< `**` at the end: any run.
  };
  Kind kind = Kind::kLiteral;
  char32_t value = 0;
  bool negated = false;
  std::vector<std::pair<char32_t, char32_t>> ranges;

  [[nodiscard]] bool accepts(char32_t rune) const {
    switch (kind) {
      case Kind::kLiteral: return rune == value;
      case Kind::kAnyButSlash:
      case Kind::kStar: return rune != U'/';
      case Kind::kClass:
        return negated != std::ranges::any_of(ranges, [rune](const auto& range) {
                 return range.first <= rune && rune <= range.second;
               });
      case Kind::kDirectories:
      case Kind::kAnything: return true;
    }
    return false;
  }
};

enum class Dialect { kGoMatch, kIgnoreList };

/// Reads a pattern's elements; nullopt if it is malformed.
class Reader {
 public:
  Reader(std::string_view pattern, Dialect dialect) : rest_(pattern), dialect_(dialect) {}

  std::optional<std::vector<Element>> read() {
    while (!rest_.empty()) {
      if (!read_element()) return std::nullopt;
    }
    return std::move(elements_);
  }

 private:
  bool read_element() {
    char const c = rest_.front();
    if (c == '*') {
      read_star();
      return true;
    }
    Element element;
    if (c == '[') return read_class();
    if (c == '?') {
      rest_.remove_prefix(1);
      element.kind = Element::Kind::kAnyButSlash;
    } else {
      if (c == '\\') rest_.remove_prefix(1);
      if (rest_.empty()) return false;
      element.value = next();
    }
    elements_.push_back(std::move(element));
    return true;
  }

  void read_star() {
    rest_.remove_prefix(1);
    Element element;
    element.kind = Element::Kind::kStar;
    if (dialect_ == Dialect::kIgnoreList && rest_.starts_with('*')) {
      rest_.remove_prefix(1);
      if (rest_.starts_with('/')) rest_.remove_prefix(1);
      element.kind = rest_.empty() ? Element::Kind::kAnything : Element::Kind::kDirectories;
    }
    elements_.push_back(std::move(element));
  }

  bool read_class() {
    rest_.remove_prefix(1);
    Element element;
    element.kind = Element::Kind::kClass;
    if (rest_.starts_with('^')) {
      element.negated = true;
      rest_.remove_prefix(1);
    }
    while (!(rest_.starts_with(']') && !element.ranges.empty())) {
      auto const low = class_rune();
      if (!low) return false;
      auto high = low;
      if (rest_.starts_with('-')) {
        rest_.remove_prefix(1);
        high = class_rune();
        if (!high) return false;
      }
      element.ranges.emplace_back(*low, *high);
    }
    rest_.remove_prefix(1);
    elements_.push_back(std::move(element));
    return true;
  }

  /// A character of a class; something must follow it, if only the closing bracket.
  std::optional<char32_t> class_rune() {
    if (rest_.empty() || rest_.front() == '-' || rest_.front() == ']') return std::nullopt;
    if (rest_.front() == '\\') {
      rest_.remove_prefix(1);
      if (rest_.empty()) return std::nullopt;
    }
    Rune const rune = decode_rune(rest_);
    if (rune.value == kBadRune && rune.size == 1) return std::nullopt;
    rest_.remove_prefix(rune.size);
    if (rest_.empty()) return std::nullopt;
    return rune.value;
  }

  char32_t next() {
    Rune const rune = decode_rune(rest_);
    rest_.remove_prefix(rune.size);
    return rune.value;
  }

  std::string_view rest_;
  Dialect dialect_;
  std::vector<Element> elements_;
};

/// Which elements the automaton may be at: a set of positions 0..size.
class States {
 public:
  explicit States(std::size_t size) : flags_(size, 0) {}

  void add(std::size_t position) {
    flags_[position] = 1;
    any_ = true;
  }
  [[nodiscard]] bool has(std::size_t position) const { return flags_[position] != 0; }
  [[nodiscard]] bool any() const noexcept { return any_; }
  void clear() {
    std::ranges::fill(flags_, std::uint8_t{0});
    any_ = false;
  }
  void swap(States& other) noexcept {
    flags_.swap(other.flags_);
    std::swap(any_, other.any_);
  }

 private:
  std::vector<std::uint8_t> flags_;
  bool any_ = false;
};

/// Runs the elements over a text. A kDirectories at position p has a second state, "begun", kept in
/// `inside`, because it ends only after a slash.
class Automaton {
 public:
  explicit Automaton(const std::vector<Element>& elements)
      : elements_(elements), at_(elements.size() + 1), inside_(elements.size() + 1),
        next_at_(elements.size() + 1), next_inside_(elements.size() + 1) {
    enter(at_, 0);
  }

  void feed(std::string_view text) {
    while (!text.empty() && alive()) {
      Rune const rune = decode_rune(text);
      text.remove_prefix(rune.size);
      step(rune.value);
    }
  }

  [[nodiscard]] bool alive() const noexcept { return at_.any() || inside_.any(); }
  [[nodiscard]] bool accepted() const { return at_.has(elements_.size()); }
  /// Whether some longer text may be accepted.
  [[nodiscard]] bool may_go_on() const {
    if (inside_.any()) return true;
    for (std::size_t i = 0; i < elements_.size(); ++i) {
      if (at_.has(i)) return true;
    }
    return false;
  }

 private:
  /// Adds `position` and what is reached from it without a character.
  void enter(States& states, std::size_t position) {
    for (;;) {
      if (states.has(position)) return;
      states.add(position);
      if (position == elements_.size()) return;
      auto const kind = elements_[position].kind;
      if (kind != Element::Kind::kStar && kind != Element::Kind::kDirectories &&
          kind != Element::Kind::kAnything) {
        return;
      }
      ++position;
    }
  }

  void step(char32_t rune) {
    next_at_.clear();
    next_inside_.clear();
    for (std::size_t i = 0; i < elements_.size(); ++i) {
      bool const is_at = at_.has(i);
      bool const is_inside = inside_.has(i);
      if (!is_at && !is_inside) continue;
      const Element& element = elements_[i];
      if (!element.accepts(rune)) continue;
      if (element.kind == Element::Kind::kDirectories) {
        next_inside_.add(i);
        if (rune == U'/') enter(next_at_, i + 1);
      } else if (element.kind == Element::Kind::kStar || element.kind == Element::Kind::kAnything) {
        enter(next_at_, i);
      } else {
        enter(next_at_, i + 1);
      }
    }
    at_.swap(next_at_);
    inside_.swap(next_inside_);
  }

  const std::vector<Element>& elements_;
  States at_, inside_, next_at_, next_inside_;
};

[[noreturn]] void throw_bad_pattern() {
  throw Error(ErrorKind::kInvalidInput, "syntax error in pattern");
}

}  // namespace

/// A pattern of a list. Most are plain names, or a name at any depth, and are compared as text.
class CompiledPathPattern {
 public:
  CompiledPathPattern(std::string text, bool is_negation, std::size_t index)
      : is_negation_(is_negation), index_(index), text_(std::move(text)) {
    // A misplaced bracket is refused by the stricter dialect; ignore lists read the rest the same way.
    if (!is_path_pattern(text_)) throw_bad_pattern();
    std::string_view const view = text_;
    if (!has_wildcard(view)) {
      form_ = Form::kExact;
    } else if (view.starts_with("**") && !has_wildcard(view.substr(2))) {
      form_ = Form::kSuffix;  // "**x" is any path that ends in x, as in BuildKit.
    } else if (view.ends_with("/**") && !has_wildcard(view.substr(0, view.size() - 2))) {
      form_ = Form::kPrefix;
    } else {
      form_ = Form::kAutomaton;
      elements_ = Reader(view, Dialect::kIgnoreList).read().value();
    }
  }

  [[nodiscard]] bool matches(std::string_view path) const {
    std::string_view const text = text_;
    switch (form_) {
      case Form::kExact: return path == text;
      case Form::kPrefix: return path.starts_with(text.substr(0, text.size() - 2));
      case Form::kSuffix: {
        std::string_view const suffix = text.substr(2);
        return path.ends_with(suffix) || (suffix.starts_with('/') && path == suffix.substr(1));
      }
      case Form::kAutomaton: {
        Automaton automaton(elements_);
        automaton.feed(path);
        return automaton.accepted();
      }
    }
    return false;
  }

  /// Whether a path below the directory `path` may match this pattern.
  [[nodiscard]] bool may_match_below(std::string_view path) const {
    switch (form_) {
      case Form::kSuffix: return true;
      case Form::kExact:
        return text_.size() > path.size() && text_.starts_with(path) && text_[path.size()] == '/';
      case Form::kPrefix: {
        std::string_view const prefix = std::string_view(text_).substr(0, text_.size() - 2);
        return prefix.starts_with(std::string(path) + "/") || (std::string(path) + "/").starts_with(prefix);
      }
      case Form::kAutomaton: {
        Automaton automaton(elements_);
        automaton.feed(path);
        automaton.feed("/");
        return automaton.may_go_on();
      }
    }
    return true;
  }

  [[nodiscard]] bool is_negation() const noexcept { return is_negation_; }
  [[nodiscard]] std::size_t index() const noexcept { return index_; }

 private:
  enum class Form { kExact, kPrefix, kSuffix, kAutomaton };

  bool is_negation_;
  std::size_t index_;
  std::string text_;
  Form form_ = Form::kExact;
  std::vector<Element> elements_;
};

bool match_path(std::string_view pattern, std::string_view name) {
  auto const elements = Reader(pattern, Dialect::kGoMatch).read();
  if (!elements) throw_bad_pattern();
  Automaton automaton(*elements);
  automaton.feed(name);
  return automaton.accepted();
}

bool is_path_pattern(std::string_view pattern) noexcept {
  return Reader(pattern, Dialect::kGoMatch).read().has_value();
}

bool has_wildcard(std::string_view path) noexcept {
  return path.find_first_of("*?[\\") != std::string_view::npos;
}

PatternSet::PatternSet(const std::vector<std::string>& patterns) {
  patterns_.reserve(patterns.size());
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    std::string_view const trimmed = trim_space(patterns[i]);
    if (trimmed.empty()) continue;
    std::string text = go_path::clean(trimmed);
    bool const is_negation = text.front() == '!';
    if (is_negation) {
      if (text.size() == 1) {
        throw Error(ErrorKind::kInvalidInput, "illegal exclusion pattern: \"!\"");
      }
      text.erase(0, 1);
      has_negations_ = true;
    }
    patterns_.push_back(std::make_shared<const CompiledPathPattern>(std::move(text), is_negation, i));
  }
}

namespace {

bool parent_matches(const CompiledPathPattern& pattern, std::string_view path) {
  for (std::size_t slash = path.find('/'); slash != std::string_view::npos;
       slash = path.find('/', slash + 1)) {
    if (pattern.matches(path.substr(0, slash))) return true;
  }
  return false;
}

}  // namespace

PatternSet::Match PatternSet::match(std::string_view path) const { return match(path, {}, nullptr); }

PatternSet::Match PatternSet::match(std::string_view path, const ParentState& parent,
                                    ParentState* own) const {
  bool const knows_parent = !parent.matched_.empty();
  if (own != nullptr) own->matched_.assign(patterns_.size(), false);
  Match result;
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    const CompiledPathPattern& pattern = *patterns_[i];
    bool matches = knows_parent && parent.matched_[i];
    if (!matches) {
      // It could not change the outcome.
      if (pattern.is_negation() != result.matched) continue;
      matches = pattern.matches(path) || (!knows_parent && parent_matches(pattern, path));
    }
    if (own != nullptr) own->matched_[i] = matches;
    if (!matches) continue;
    result.matched = !pattern.is_negation();
    result.pattern = pattern.index();
  }
  return result;
}

bool PatternSet::may_match_negation_below(std::string_view path) const {
  return std::ranges::any_of(patterns_, [path](const auto& pattern) {
    return pattern->is_negation() && pattern->may_match_below(path);
  });
}

bool PatternSet::may_match_below(std::string_view path) const {
  return std::ranges::any_of(patterns_, [path](const auto& pattern) {
    return !pattern->is_negation() && (pattern->matches(path) || pattern->may_match_below(path));
  });
}

PatternSet compile_patterns(const std::vector<std::string>& patterns, std::string_view what) {
  try {
    return PatternSet(patterns);
  } catch (const Error& error) {
    std::string list;
    for (const std::string& pattern : patterns) list += (list.empty() ? "" : " ") + pattern;
    throw error.with_context("invalid " + std::string(what) + ": [" + list + "]");
  }
}

}  // namespace cobuild
