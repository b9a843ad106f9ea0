#include "dockerfile/directives.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "core/base/error.hpp"
#include "core/base/rune.hpp"
#include "dockerfile/frontend.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::optional<Directive> parse_directive(std::string_view text) {
  std::size_t size = 0;
  while (size < text.size() && (is_ascii_letter(text[size]) ||
                                (size > 0 && text[size] >= '0' && text[size] <= '9'))) {
    ++size;
  }
  Directive directive{.name = to_lower(text.substr(0, size)), .value = {}};
  text = trim_space_left(text.substr(size));
  if (directive.name.empty() || !text.starts_with('=')) return std::nullopt;
  directive.value = trim_space(text.substr(1));
  if (directive.value.empty()) return std::nullopt;
  return directive;
}

}  // namespace

std::optional<Directive> DirectiveReader::read(std::string_view line) {
  if (done_) return std::nullopt;
  std::optional<Directive> directive;
  if (line.starts_with(comment_mark_)) {
    directive = parse_directive(trim_space_left(line.substr(comment_mark_.size())));
  }
  if (!directive || (directive->name != "syntax" && directive->name != "escape" &&
                     directive->name != "check")) {
    done_ = true;
    return std::nullopt;
  }
  if (!seen_.insert(directive->name).second) {
    throw Error(ErrorKind::kInvalidInput,
                "only one " + directive->name + " parser directive can be used");
  }
  return directive;
}

std::optional<std::string> find_directive(std::string_view text, std::string_view name,
                                          std::string_view comment_mark) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  DirectiveReader reader(comment_mark);
  if (text.starts_with("#!")) {
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  while (!text.empty() && !reader.done()) {
    auto const [line, rest] = cut(text, '\n');
    text = rest.value_or(std::string_view());
    try {
      auto directive = reader.read(line);
      if (directive && directive->name == name) return std::move(directive->value);
    } catch (const Error&) {
      return std::nullopt;  // The parser reports the duplicate.
    }
  }
  return std::nullopt;
}

std::optional<std::string> detect_syntax(const std::string& text) {
  auto value = find_directive(text, "syntax");
  if (!value) value = find_directive(text, "syntax", "//");
  if (!value && trim_space_left(text).starts_with('{')) {
    boost::system::error_code error;
    auto const json = boost::json::parse(text, error);
    const auto* object = error ? nullptr : json.if_object();
    const auto* member = object != nullptr ? object->if_contains("syntax") : nullptr;
    if (member != nullptr && member->is_string()) return std::string(member->as_string());
  }
  if (!value) return std::nullopt;
  return std::string(cut(*value, ' ').first);
}

}  // namespace cobuild::dockerfile
