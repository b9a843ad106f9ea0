#pragma once

/// Command-line flags by table: the same rows parse, complain, suggest and print the help.
///
/// The spelling is that of Go's flag libraries, which docker and buildctl use: --name value,
/// --name=value, -n value, -nvalue, -n=value, --switch, --switch=false, and "--" ends the flags.

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cobuild::cli {

enum class FlagKind {
  kValue,    ///< Takes a value; repeated ones add up.
  kSwitch,   ///< true or false; alone it means true.
  kRefused,  ///< Known from docker or buildctl, and not to be had here: `help` says so to the user.
};

struct Flag {
  std::string_view name;  ///< Without dashes.
  char letter;            ///< 0: none.
  FlagKind kind;
  std::string_view placeholder;  ///< "K=V"; shown in the help.
  std::string_view help;         ///< One line. For kRefused: what follows "--name ".
};

class ParsedFlags {
 public:
  /// Whether the flag was given at all.
  [[nodiscard]] bool has(std::string_view name) const;
  /// The last value, or `fallback`.
  [[nodiscard]] std::string last(std::string_view name, std::string_view fallback = {}) const;
  /// All values, in order.
  [[nodiscard]] std::vector<std::string> all(std::string_view name) const;
  /// A switch's last value; false when not given.
  [[nodiscard]] bool is_on(std::string_view name) const;

  /// What is no flag, in order.
  std::vector<std::string> positionals;

 private:
  friend class FlagReader;
  std::vector<std::pair<std::string_view, std::string>> values_;
};

/// When the first word that is no flag ends the reading (the words before a command's name).
enum class Stop { kAtEnd, kAtFirstPositional };

/// Reads `arguments` by `table`; with kAtFirstPositional, the rest is in positionals unread.
/// \throws Error kInvalidInput naming the flag, with a suggestion; kUnsupported for kRefused rows.
[[nodiscard]] ParsedFlags parse_flags(std::span<const Flag> table,
                                      const std::vector<std::string>& arguments, Stop stop);

/// The table's rows as help lines, refused ones left out.
[[nodiscard]] std::string describe_flags(std::span<const Flag> table);

}  // namespace cobuild::cli
