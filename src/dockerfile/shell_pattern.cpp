#include "dockerfile/shell_pattern.hpp"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/base/error.hpp"
#include "core/base/rune.hpp"
#include "core/base/utf8.hpp"

namespace cobuild::dockerfile {
namespace {

constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

std::u32string to_runes(std::string_view text) {
  std::u32string out;
  while (!text.empty()) {
    Rune const rune = decode_rune(text);
    out.push_back(rune.value);
    text.remove_prefix(rune.size);
  }
  return out;
}

std::string to_text(std::u32string_view runes) {
  std::string out;
  for (char32_t const rune : runes) append_utf8(out, rune);
  return out;
}

/// The replacement of replace_all with its "$" references resolved against one match.
std::string expand_template(std::string_view text, const std::string& match) {
  std::string out;
  while (!text.empty()) {
    std::size_t const dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar + 1);
    if (text.starts_with('$')) {
      out += '$';
      text.remove_prefix(1);
      continue;
    }
    bool const braces = text.starts_with('{');
    std::string_view rest = braces ? text.substr(1) : text;
    std::size_t size = 0;
    while (size < rest.size()) {
      Rune const rune = decode_rune(rest.substr(size));
      if (!is_letter(rune.value) && !is_digit(rune.value) && rune.value != U'_') break;
      size += rune.size;
    }
    std::string_view const name = rest.substr(0, size);
    rest.remove_prefix(size);
    if (name.empty() || (braces && !rest.starts_with('}'))) {
      out += '$';  // Malformed: stays as it is.
      continue;
    }
    if (braces) rest.remove_prefix(1);
    if (name == "0") out += match;
    text = rest;
  }
  return out;
}

}  // namespace

ShellPattern::ShellPattern(std::string_view pattern) {
  while (!pattern.empty()) {
    Rune rune = decode_rune(pattern);
    pattern.remove_prefix(rune.size);
    Element element;
    if (rune.value == U'*') {
      element.kind = Element::Kind::kStar;
    } else if (rune.value == U'?') {
      element.kind = Element::Kind::kAny;
    } else if (rune.value == U'\\') {
      if (pattern.starts_with('}') || pattern.starts_with('/')) continue;
      std::string escape = "\\";
      if (!pattern.empty()) {
        rune = decode_rune(pattern);
        escape += pattern.substr(0, rune.size);
        pattern.remove_prefix(rune.size);
      }
      if (escape != "\\*" && escape != "\\?" && escape != "\\\\") {
        throw Error(ErrorKind::kInvalidInput, "invalid escape '" + escape + "'");
      }
    }
    element.value = rune.value;
    elements_.push_back(element);
  }
}

std::string ShellPattern::without_match(const std::vector<Element>& elements,
                                        const std::u32string& text, Length length,
                                        bool from_the_end) {
  std::vector<bool> at(elements.size() + 1);
  auto enter = [&elements](std::vector<bool>& states, std::size_t position) {
    for (; !states[position]; ++position) {
      states[position] = true;
      if (position == elements.size() || elements[position].kind != Element::Kind::kStar) return;
    }
  };
  enter(at, 0);
  std::optional<std::size_t> match;
  for (std::size_t i = 0;; ++i) {
    if (at.back()) {
      match = i;
      if (length == Length::kShortest) break;
    }
    if (i == text.size()) break;
    char32_t const rune = from_the_end ? text[text.size() - 1 - i] : text[i];
    std::vector<bool> next(at.size());
    bool alive = false;
    for (std::size_t e = 0; e < elements.size(); ++e) {
      if (!at[e] || !elements[e].accepts(rune)) continue;
      enter(next, elements[e].kind == Element::Kind::kStar ? e : e + 1);
      alive = true;
    }
    if (!alive) break;
    at.swap(next);
  }
  std::size_t const count = match.value_or(0);
  std::u32string_view const rest(text);
  return to_text(from_the_end ? rest.substr(0, text.size() - count) : rest.substr(count));
}

std::string ShellPattern::without_prefix(std::string_view text, Length length) const {
  return without_match(elements_, to_runes(text), length, false);
}

std::string ShellPattern::without_suffix(std::string_view text, Length length) const {
  std::vector<Element> const reversed(elements_.rbegin(), elements_.rend());
  return without_match(reversed, to_runes(text), length, true);
}

/// One pass for all starting places: each state keeps the leftmost start that leads to it.
ShellPattern::Found ShellPattern::find(const std::u32string& text, std::size_t from) const {
  std::size_t const end = elements_.size();
  std::vector<std::size_t> starts(end + 1, kNowhere);
  auto enter = [this, end](std::vector<std::size_t>& states, std::size_t position, std::size_t start) {
    for (; states[position] > start; ++position) {
      states[position] = start;
      if (position == end || elements_[position].kind != Element::Kind::kStar) return;
    }
  };
  Found found;
  for (std::size_t i = from;; ++i) {
    if (!found.found) enter(starts, 0, i);
    if (starts[end] != kNowhere && (!found.found || starts[end] <= found.begin)) {
      found = {true, starts[end], i};
    }
    if (i == text.size()) return found;
    std::vector<std::size_t> next(end + 1, kNowhere);
    bool alive = false;
    for (std::size_t e = 0; e < end; ++e) {
      bool const too_late = found.found && starts[e] > found.begin;
      if (starts[e] == kNowhere || too_late || !elements_[e].accepts(text[i])) continue;
      enter(next, elements_[e].kind == Element::Kind::kStar ? e : e + 1, starts[e]);
      alive = true;
    }
    if (found.found && !alive) return found;
    starts.swap(next);
  }
}

std::string ShellPattern::replace_first(std::string_view text, std::string_view replacement) const {
  std::u32string const runes = to_runes(text);
  Found const match = find(runes, 0);
  if (!match.found) return std::string(text);
  std::u32string_view const view(runes);
  return to_text(view.substr(0, match.begin)).append(replacement) + to_text(view.substr(match.end));
}

std::string ShellPattern::replace_all(std::string_view text, std::string_view replacement) const {
  std::u32string const runes = to_runes(text);
  std::u32string_view const view(runes);
  std::string out;
  std::size_t copied = 0;
  std::optional<std::size_t> last_end;
  for (std::size_t from = 0; from <= runes.size();) {
    Found const match = find(runes, from);
    if (!match.found) break;
    bool const is_empty = match.end == match.begin;
    // An empty match right after another one does not count.
    if (!is_empty || last_end != match.begin) {
      out += to_text(view.substr(copied, match.begin - copied));
      out += expand_template(replacement, to_text(view.substr(match.begin, match.end - match.begin)));
      copied = match.end;
      last_end = match.end;
    }
    from = is_empty ? match.end + 1 : match.end;
  }
  return out + to_text(view.substr(std::min(copied, runes.size())));
}

}  // namespace cobuild::dockerfile
