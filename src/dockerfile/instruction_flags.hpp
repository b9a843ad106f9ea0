#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cobuild::dockerfile {

/// What may be given to an instruction between its keyword and its arguments.
class InstructionFlags {
 public:
  enum class Kind { kBool, kValue, kValues };

  void add(std::string name, Kind kind) { known_[std::move(name)].kind = kind; }

  /// Reads "--name", "--name=value". \throws Error kInvalidInput with BuildKit's message (F1.1.20,
  /// F1.1.21).
  void parse(const std::vector<std::string>& flags);

  /// Of a flag that was given; nullopt otherwise. "true" or "false" for a bool.
  [[nodiscard]] std::optional<std::string> find(std::string_view name) const;
  /// As find, "" when it was not given.
  [[nodiscard]] std::string value(std::string_view name) const;
  [[nodiscard]] bool is_true(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> values(std::string_view name) const;

 private:
  struct Flag {
    Kind kind = Kind::kValue;
    std::vector<std::string> values;
  };
  std::map<std::string, Flag, std::less<>> known_;
};

}  // namespace cobuild::dockerfile
