#include "dockerfile/instruction_flags.hpp"

#include "core/base/error.hpp"
#include "core/base/suggest.hpp"
#include "dockerfile/text.hpp"

namespace cobuild::dockerfile {
namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::kInvalidInput, message); }

std::string parse_bool_flag(const std::string& flag, std::optional<std::string_view> value) {
  if (value && value->empty()) fail("missing a value on flag: " + flag);
  std::string const lower = to_lower(value.value_or("true"));
  if (lower != "true" && lower != "false") {
    fail("expecting boolean value for flag " + flag + ", not: " + std::string(*value));
  }
  return lower;
}

}  // namespace

void InstructionFlags::parse(const std::vector<std::string>& flags) {
  for (const std::string& text : flags) {
    if (text == "--") return;
    if (!text.starts_with("--")) fail("arg should start with -- : " + text);
    auto const [name, value] = cut(text, '=');
    std::string const flag(name);
    auto const known = known_.find(name.substr(2));
    if (known == known_.end()) {
      std::vector<std::string> names;
      for (const auto& entry : known_) names.push_back(entry.first);
      fail("unknown flag: " + flag + did_you_mean(name.substr(2), names));
    }
    auto& [kind, values] = known->second;
    if (!values.empty() && kind != Kind::kValues) fail("duplicate flag specified: " + flag);
    if (kind == Kind::kBool) {
      values.push_back(parse_bool_flag(flag, value));
    } else {
      if (!value) fail("missing a value on flag: " + flag);
      values.emplace_back(*value);
    }
  }
}

std::optional<std::string> InstructionFlags::find(std::string_view name) const {
  auto const known = known_.find(name);
  if (known == known_.end() || known->second.values.empty()) return std::nullopt;
  return known->second.values.back();
}

std::string InstructionFlags::value(std::string_view name) const {
  return find(name).value_or(std::string());
}

bool InstructionFlags::is_true(std::string_view name) const { return find(name) == "true"; }

std::vector<std::string> InstructionFlags::values(std::string_view name) const {
  auto const known = known_.find(name);
  return known == known_.end() ? std::vector<std::string>() : known->second.values;
}

}  // namespace cobuild::dockerfile
