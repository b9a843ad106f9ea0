#include "ops/exec/yaml.hpp"

#include <yaml.h>

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"

namespace cobuild::ops {
namespace {

namespace json = boost::json;

class Parser {
 public:
  explicit Parser(std::string_view text) {
    if (yaml_parser_initialize(&parser_) == 0)
      throw Error(ErrorKind::kUnavailable, "set up libyaml");
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;
  ~Parser() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }

  /// The last one is gone with it.
  const yaml_event_t& next() {
    yaml_event_delete(&event_);
    event_ = {};
    if (yaml_parser_parse(&parser_, &event_) != 0) return event_;
    fail(parser_.problem != nullptr ? parser_.problem : "bad YAML", parser_.problem_mark.line);
  }
  [[noreturn]] void fail(const std::string& what) const { fail(what, event_.start_mark.line); }

 private:
  [[noreturn]] static void fail(const std::string& what, std::size_t line) {
    throw Error(ErrorKind::kInvalidInput, "line " + std::to_string(line + 1) + ": " + what);
  }
  yaml_parser_t parser_{};
  yaml_event_t event_{};
};

/// As JSON has them, and octal ones ("0644", "0o644") as YAML does.
std::optional<std::int64_t> try_parse_number(std::string_view text) {
  bool const is_negative = text.starts_with('-');
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
    text.remove_prefix(text[1] == 'o' ? 2 : 1);
  }
  std::int64_t number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  bool const is_whole =
      error == std::errc() && end == text.data() + text.size() && !text.starts_with('-');
  if (!is_whole) return std::nullopt;
  return is_negative ? -number : number;
}

json::value scalar_of(const yaml_event_t& event) {
  const auto& scalar = event.data.scalar;
  std::string_view const text(reinterpret_cast<const char*>(scalar.value), scalar.length);
  if (scalar.style != YAML_PLAIN_SCALAR_STYLE) return json::value(text);
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL")
    return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  if (auto const number = try_parse_number(text)) return *number;
  return json::value(text);
}

/// Lists and mappings that are not closed yet.
class Builder {
 public:
  void open(json::value container, const Parser& parser) {
    if (open_.size() >= kYamlDepth_max) parser.fail("nested too deeply");
    open_.push_back({std::move(container), {}});
  }
  void close(const Parser& parser) {
    json::value done = std::move(open_.back().value);
    open_.pop_back();
    add(std::move(done), parser);
  }
  void add(json::value value, const Parser& parser) {
    if (open_.empty()) {
      if (document_) parser.fail("more than one document");
      document_ = std::move(value);
      return;
    }
    Level& level = open_.back();
    if (auto* const list = level.value.if_array()) {
      list->push_back(std::move(value));
    } else if (level.key) {
      level.value.as_object()[*std::exchange(level.key, std::nullopt)] = std::move(value);
    } else {
      parser.fail("a key that is no text");
    }
  }
  /// True when the text was taken for a key.
  bool take_key(const yaml_event_t& event) {
    if (open_.empty() || !open_.back().value.is_object() || open_.back().key) return false;
    const auto& scalar = event.data.scalar;
    open_.back().key = std::string(reinterpret_cast<const char*>(scalar.value), scalar.length);
    return true;
  }
  [[nodiscard]] json::value take() { return document_ ? *std::move(document_) : json::value(); }

 private:
  struct Level {
    json::value value;
    std::optional<std::string> key;
  };
  std::vector<Level> open_;
  std::optional<json::value> document_;
};

}  // namespace

json::value parse_yaml(std::string_view text) {
  Parser parser(text);
  Builder builder;
  for (;;) {
    const yaml_event_t& event = parser.next();
    switch (event.type) {
      case YAML_STREAM_END_EVENT: return builder.take();
      case YAML_ALIAS_EVENT: parser.fail("anchors are not supported");
      case YAML_SEQUENCE_START_EVENT: builder.open(json::array(), parser); break;
      case YAML_MAPPING_START_EVENT: builder.open(json::object(), parser); break;
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT: builder.close(parser); break;
      case YAML_SCALAR_EVENT:
        if (!builder.take_key(event)) builder.add(scalar_of(event), parser);
        break;
      default: break;
    }
  }
}

}  // namespace cobuild::ops
