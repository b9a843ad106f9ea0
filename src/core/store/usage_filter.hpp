#pragma once

/// Which records du and prune are about (F5.5.4).

#include <memory>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "core/store/collect.hpp"

namespace cobuild::store {

/// Filters in containerd's syntax: "type==regular,inuse", with ==, !=, ~= (a regular expression)
/// and presence; comma means and, several filters mean or, none means all. Regular expressions may
/// also be between slashes or bars.
class UsageFilter {
 public:
  /// \throws Error kInvalidInput: `what` names the command in the message ("prune", "diskusage").
  UsageFilter(const std::vector<std::string>& filters, std::string_view what);

  [[nodiscard]] bool matches(const UsageRecord& record) const;
  /// False when no record of this kind can match, whatever else it is.
  [[nodiscard]] bool may_match(RecordKind kind) const;

 private:
  enum class Operator { kPresent, kEqual, kNotEqual, kMatches };
  struct Selector {
    std::string field;
    Operator op = Operator::kPresent;
    std::string value;
    std::shared_ptr<const std::regex> pattern;  ///< Of kMatches.
  };
  class Parser;
  [[nodiscard]] static bool matches(const Selector& selector, const UsageRecord& record);

  std::vector<std::vector<Selector>> alternatives_;
};

}  // namespace cobuild::store
