#include "cli/flags.hpp"

#include <algorithm>
#include <optional>

#include "core/base/error.hpp"
#include "core/base/suggest.hpp"

namespace cobuild::cli {
namespace {

/// As Go's strconv.ParseBool has it.
std::optional<bool> try_parse_bool(std::string_view text) {
  for (std::string_view yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return std::nullopt;
}

std::string spelled(const Flag& flag) {
  return "--" + std::string(flag.name);
}

}  // namespace

bool ParsedFlags::has(std::string_view name) const {
  return std::any_of(values_.begin(), values_.end(),
                     [&](const auto& value) { return value.first == name; });
}

std::string ParsedFlags::last(std::string_view name, std::string_view fallback) const {
  auto const found = std::find_if(values_.rbegin(), values_.rend(),
                                  [&](const auto& value) { return value.first == name; });
  return found == values_.rend() ? std::string(fallback) : found->second;
}

std::vector<std::string> ParsedFlags::all(std::string_view name) const {
  std::vector<std::string> found;
  for (const auto& [flag, value] : values_) {
    if (flag == name) found.push_back(value);
  }
  return found;
}

bool ParsedFlags::is_on(std::string_view name) const {
  return last(name) == "true";
}

/// One pass over the arguments.
class FlagReader {
 public:
  FlagReader(std::span<const Flag> table, const std::vector<std::string>& arguments)
      : table_(table), arguments_(arguments) {}

  ParsedFlags read(Stop stop) {
    while (next_ < arguments_.size()) {
      const std::string& argument = arguments_[next_];
      bool const is_flag = argument.size() > 1 && argument[0] == '-';
      if (is_flag && argument != "--") {
        ++next_;
        argument[1] == '-' ? read_long(argument) : read_letters(argument);
        continue;
      }
      bool const ended = argument == "--";
      if (ended) ++next_;
      if (ended || stop == Stop::kAtFirstPositional) break;
      parsed_.positionals.push_back(argument);
      ++next_;
    }
    auto const rest = arguments_.begin() + static_cast<std::ptrdiff_t>(next_);
    parsed_.positionals.insert(parsed_.positionals.end(), rest, arguments_.end());
    return std::move(parsed_);
  }

 private:
  void read_long(const std::string& argument) {
    std::size_t const equals = argument.find('=');
    std::string const name = argument.substr(2, equals - 2);
    auto const flag = std::find_if(table_.begin(), table_.end(),
                                   [&](const Flag& row) { return row.name == name; });
    if (flag == table_.end()) throw unknown("--" + name);
    std::optional<std::string> value;
    if (equals != std::string::npos) value = argument.substr(equals + 1);
    take(*flag, std::move(value));
  }

  /// "-qt name", "-tname" and "-t=name".
  void read_letters(const std::string& argument) {
    for (std::size_t i = 1; i < argument.size(); ++i) {
      auto const flag = std::find_if(table_.begin(), table_.end(),
                                     [&](const Flag& row) { return row.letter == argument[i]; });
      if (flag == table_.end()) throw unknown(argument);
      std::string rest = argument.substr(i + 1);
      bool const has_equals = rest.starts_with('=');
      if (flag->kind == FlagKind::kSwitch && !has_equals) {
        take(*flag, std::nullopt);
        continue;
      }
      std::optional<std::string> value;
      if (has_equals) {
        value = rest.substr(1);
      } else if (!rest.empty()) {
        value = std::move(rest);
      }
      take(*flag, std::move(value));
      return;
    }
  }

  void take(const Flag& flag, std::optional<std::string> value) {
    switch (flag.kind) {
      case FlagKind::kRefused:
        throw Error(ErrorKind::kUnsupported, spelled(flag) + " " + std::string(flag.help));
      case FlagKind::kSwitch: {
        auto const parsed = try_parse_bool(value.value_or("true"));
        if (!parsed) {
          throw Error(ErrorKind::kInvalidInput, "invalid value \"" + *value + "\" for flag " +
                                                    spelled(flag) + ": use true or false");
        }
        parsed_.values_.emplace_back(flag.name, *parsed ? "true" : "false");
        return;
      }
      case FlagKind::kValue:
        if (!value) {
          if (next_ == arguments_.size()) {
            throw Error(ErrorKind::kInvalidInput, "flag needs an argument: " + spelled(flag) + " " +
                                                      std::string(flag.placeholder));
          }
          value = arguments_[next_++];
        }
        parsed_.values_.emplace_back(flag.name, std::move(*value));
        return;
    }
  }

  Error unknown(const std::string& written) const {
    std::vector<std::string> names;
    for (const Flag& flag : table_) {
      if (flag.kind != FlagKind::kRefused) names.push_back(spelled(flag));
    }
    return Error(ErrorKind::kInvalidInput,
                 "unknown flag: " + written + did_you_mean(written, names));
  }

  std::span<const Flag> table_;
  const std::vector<std::string>& arguments_;
  std::size_t next_ = 0;
  ParsedFlags parsed_;
};

ParsedFlags parse_flags(std::span<const Flag> table, const std::vector<std::string>& arguments,
                        Stop stop) {
  FlagReader reader(table, arguments);
  return reader.read(stop);
}

std::string describe_flags(std::span<const Flag> table) {
  constexpr std::size_t kHelpColumn = 34;
  std::string out;
  for (const Flag& flag : table) {
    if (flag.kind == FlagKind::kRefused || flag.help.empty()) continue;
    std::string line = flag.letter != 0 ? std::string("  -") + flag.letter + ", " : "      ";
    line += spelled(flag);
    if (!flag.placeholder.empty()) line += " " + std::string(flag.placeholder);
    if (line.size() + 2 > kHelpColumn) {
      out += line + "\n";
      line.clear();
    }
    line.resize(kHelpColumn, ' ');
    out += line + std::string(flag.help) + "\n";
  }
  return out;
}

}  // namespace cobuild::cli
